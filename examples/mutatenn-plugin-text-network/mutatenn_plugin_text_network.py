"""Networks written down as text, a layer on a line, with their weights in a .npz file beside it."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mutatenn import Frontend, InputError, LayerNotes, Model, TensorSpec, hookimpl, ir
from mutatenn import Layer as ModelLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Array = NDArray[np.float32]


@attrs.frozen(eq=False)
class Layer:
    """One line: where it stands, what it does, the word that follows, and its weights."""

    where: str
    kind: str
    word: str = ""
    weight: Array = attrs.field(factory=lambda: np.zeros(0, np.float32))
    bias: Array = attrs.field(factory=lambda: np.zeros(0, np.float32))


@attrs.frozen(eq=False)
class Network:
    """A parsed file: ``shape`` is (channels, height, width) of the image."""

    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    digest: str


@attrs.frozen(kw_only=True)
class TextNetwork(Frontend):
    """Networks as text (.textnet), compared with numpy."""

    name: ClassVar[str] = "text-network"
    suffixes: ClassVar[tuple[str, ...]] = (".textnet",)

    def load(self, source: Path) -> Model:
        """Build the Relax module; raises InputError, with file and line, for whatever is wrong."""
        network = read(source)
        scores = compute(network, np.zeros((1, *network.shape), np.float32))
        if scores.ndim != 2:  # noqa: PLR2004  # image and class
            raise InputError(f"{source}: does not end with scores; end with dense or softmax")
        image, output = TensorSpec("image", (1, *network.shape)), TensorSpec("scores", scores.shape)
        return Model(source.stem, source, network.digest, to_relax(network), image, output)

    def reference(self, model: Model, images: NDArray[np.generic]) -> Array:
        """Run the network in numpy; raises InputError if the file has changed since it was imported."""
        network = read(model.source)
        if network.digest != model.digest:
            raise InputError(f"{model.source}: has changed since it was imported; run the campaign again")
        none = np.zeros((0, model.output.shape[1]), np.float32)
        return np.concatenate([none, *(compute(network, image[np.newaxis]) for image in images)])


def read(source: Path) -> Network:
    """Read the text and the weights; raises InputError."""
    weights = source.with_suffix(".npz")
    try:
        text, content = source.read_text(encoding="utf-8"), weights.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:  # a pickle could run code
            arrays = {name: np.asarray(archive[name], np.float32) for name in archive.files}
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}; a network is a pair of files") from error
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise InputError(f"{source}: it or {weights.name} is damaged ({error}); write both anew") from error
    (where, first), *others = list(_lines(source, text)) or [(str(source), "nothing")]
    kind, *sizes = first.split()
    if kind != "input" or len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):  # noqa: PLR2004
        raise InputError(f"{where}: {first!r} is no input; begin with 'input CHANNELS HEIGHT WIDTH'")
    layers = tuple(_layer(where, line, arrays) for where, line in others)
    digest = hashlib.sha256(text.encode() + content).hexdigest()
    return Network(tuple(map(int, sizes)), layers, digest)


def _lines(source: Path, text: str) -> Iterator[tuple[str, str]]:
    """Yield where a line stands, for messages, and the line, without comments and empty ones."""
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("#")[0].strip()
        if code:
            yield f"{source}, line {number}", code


def _layer(where: str, line: str, arrays: dict[str, Array]) -> Layer:
    kind, *words = line.split()
    if kind not in KINDS:
        raise InputError(f"{where}: unknown layer {kind!r}; known are {', '.join(KINDS)}")
    wanted = int(kind in ("conv", "dense", "pool"))
    if len(words) != wanted:
        raise InputError(f"{where}: {kind} takes {wanted} word(s), not {len(words)}; see the README")
    if kind == "pool" and not (words[0].isdecimal() and int(words[0])):
        raise InputError(f"{where}: pool takes a size in pixels, not {words[0]!r}; see the README")
    if kind not in ("conv", "dense"):
        return Layer(where, kind, "".join(words))
    (name,) = words
    weight, bias = arrays.get(f"{name}.weight"), arrays.get(f"{name}.bias")
    if weight is None or bias is None:
        raise InputError(f"{where}: no weights; put {name}.weight and {name}.bias into the .npz file")
    return Layer(where, kind, name, weight, bias)


def compute(network: Network, image: NDArray[np.generic]) -> Array:
    """Return the scores of one image ``[1, channels, height, width]``, float32 ``[1, classes]``."""
    value: Array = np.asarray(image, np.float32)
    for layer in network.layers:
        try:
            value = KINDS[layer.kind][0](layer, value)
        except ValueError as error:  # noqa: PERF203  # the message says which layer
            raise InputError(f"{layer.where}: does not fit what comes before it ({error})") from error
    return value


def to_relax(network: Network) -> Any:
    """Return the Relax module of a network that can be computed; its ``main`` takes the image alone."""
    builder, notes = ir.relax.BlockBuilder(), LayerNotes()
    image = ir.relax.Var("image", ir.relax.TensorType((1, *network.shape), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            value: Any = image
            for number, layer in enumerate(network.layers):
                value = builder.emit(KINDS[layer.kind][1](layer, value))
                notes.note(builder, value, ModelLayer(layer.word or f"{layer.kind}-{number}", layer.kind))
            result = builder.emit_output(value)
        builder.emit_func_output(result)
    module = notes.write(builder.get())
    ir.relax.analysis.well_formed(module)
    return module


def run_conv(layer: Layer, value: Array) -> Array:
    """Convolve, the image padded with zeros so that it keeps its size."""
    _, _, height, width = layer.weight.shape
    if not (height % 2 and width % 2):
        raise ValueError("the kernel's height and width must be odd")
    padded = np.pad(value, ((0, 0), (0, 0), (height // 2, height // 2), (width // 2, width // 2)))
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))
    sums = np.tensordot(windows, layer.weight, axes=((1, 4, 5), (1, 2, 3)))
    return np.asarray(np.moveaxis(sums + layer.bias, -1, 1), np.float32)


def conv(layer: Layer, value: Any) -> Any:
    """Return convolution and bias."""
    _, _, height, width = layer.weight.shape
    padding = (height // 2, width // 2)
    sums = ir.relax.op.nn.conv2d(value, ir.relax.const(layer.weight), padding=padding)
    return ir.relax.op.add(sums, ir.relax.const(layer.bias.reshape(1, -1, 1, 1)))


def run_pool(layer: Layer, value: Array) -> Array:
    """Take the largest value of each square; what is left over at the edges is dropped."""
    size = int(layer.word)
    images, channels, height, width = value.shape
    value = value[:, :, : height // size * size, : width // size * size]
    squares = value.reshape(images, channels, height // size, size, width // size, size)
    return np.asarray(squares.max(axis=(3, 5)), np.float32)


def pool(layer: Layer, value: Any) -> Any:
    """Return max pooling."""
    size = int(layer.word)
    return ir.relax.op.nn.max_pool2d(value, pool_size=(size, size), strides=(size, size))


def run_dense(layer: Layer, value: Array) -> Array:
    """Multiply the flattened value with the weights ``[out, in]``."""
    return np.asarray(value.reshape(len(value), -1) @ layer.weight.T + layer.bias, np.float32)


def dense(layer: Layer, value: Any) -> Any:
    """Return reshape, product and bias."""
    flat = ir.relax.op.reshape(value, (1, layer.weight.shape[1]))
    product = ir.relax.op.matmul(flat, ir.relax.const(np.ascontiguousarray(layer.weight.T)))
    return ir.relax.op.add(product, ir.relax.const(layer.bias))


def run_softmax(_: Layer, value: Array) -> Array:
    """Turn scores into probabilities."""
    raised = np.exp(value - value.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)


KINDS: dict[str, tuple[Callable[[Layer, Array], Array], Callable[[Layer, Any], Any]]] = {
    "conv": (run_conv, conv),
    "relu": (lambda _, value: np.maximum(value, 0), lambda _, value: ir.relax.op.nn.relu(value)),
    "pool": (run_pool, pool),
    "dense": (run_dense, dense),
    "softmax": (run_softmax, lambda _, value: ir.relax.op.nn.softmax(value)),
}
"""The layers: what they compute in numpy, and how they are written in Relax."""


@hookimpl
def mutatenn_frontends() -> list[type[Frontend]]:
    """Contribute the frontend."""
    return [TextNetwork]
