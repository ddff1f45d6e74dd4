"""The onnx package's light models (architectures without weights), with seeded random weights."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {
    "alexnet": "bvlc_alexnet",
    "densenet121": "densenet121",
    "inception_v2": "inception_v2",
    "resnet50": "resnet50",
    "shufflenet": "shufflenet",
    "squeezenet": "squeezenet",
    "vgg19": "vgg19",
}


@contextmanager
def light_model(name: str) -> Iterator[tuple[Path, Path]]:
    """Write the model and one image of noise to a folder; it is gone after the block."""
    import onnx
    from PIL import Image

    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    proto = onnx.load(light / f"light_{NAMES[name]}.onnx")
    _randomise(proto)
    with TemporaryDirectory(prefix="mutatenn-bench-") as folder:
        model, image = Path(folder, f"{name}.onnx"), Path(folder, "noise.png")
        onnx.save(proto, model)
        pixels = np.random.default_rng(7).integers(0, 256, (224, 224, 3), np.uint8)
        Image.fromarray(pixels).save(image)
        yield model, image


def _randomise(proto: Any) -> None:
    """Replace the constant weights, with which every class scores the same."""
    import onnx

    random = np.random.default_rng(11)
    shapes = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for node in [node for node in proto.graph.node if node.op_type == "ConstantOfShape"]:
        proto.graph.node.remove(node)
        values = _weights(random, tuple(shapes[node.input[0]]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, node.output[0]))
    proto.ir_version = 8  # older ones want every weight listed as an input too


def _weights(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Return positive values for vectors, which may be variances, else values that keep the scale."""
    if len(shape) == 1:
        return random.uniform(0.5, 1.0, shape).astype(np.float32)
    return np.float32(1.4 / np.sqrt(np.prod(shape[1:]))) * random.standard_normal(shape, np.float32)
