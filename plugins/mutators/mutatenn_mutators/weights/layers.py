"""Removes and repeats whole layers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn import Example, GraphMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import is_float, with_argument
from mutatenn_mutators._shared.paper import DEEPMUTATION
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.weights._layer_search import bindings, layers
from mutatenn_mutators.weights._layers import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from mutatenn import Level, Stage
    from mutatenn_mutators.weights._layers import Layer

BATCH_NORM = "relax.nn.batch_norm"
POOLS = ("relax.nn.max_pool2d", "relax.nn.avg_pool2d")
ACTIVATIONS = (
    "relax.nn.relu",
    "relax.nn.leakyrelu",
    "relax.nn.prelu",
    "relax.nn.gelu",
    "relax.nn.gelu_tanh",
    "relax.nn.silu",
    "relax.nn.softplus",
    "relax.clip",
    "relax.sigmoid",
    "relax.tanh",
)
_CONV2D = 'R.nn.conv2d({}, R.const([[[[2.0]]]], "float32"))'
_IMAGE = (1, 1, 8, 8)
_BATCH_NORM: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8)} | dict.fromkeys("gbmv", (4,))


@attrs.frozen(eq=False)
class Block:
    """A layer: one call, or a convolution or product and the sum with its bias."""

    calls: tuple[Any, ...]
    description: str
    previous: int = 0
    """Which argument of the last call comes from what is before."""

    def remove(self, end: Any, builder: Any) -> Any:
        """Return the layer's input; ``end`` is its last call."""
        del builder
        source = self.calls[0].args[0]
        return ir.relax.Tuple([source, *end.args[3:]]) if _is_batch_norm(end) else source

    def repeat(self, end: Any, builder: Any) -> Any:
        """Return the layer's value on its own value; ``end`` is its last call."""
        value = builder.emit(end)
        if _is_batch_norm(end):
            value = builder.emit(ir.relax.TupleGetItem(value, 0))
        for call in self.calls[:-1]:
            value = builder.emit(with_argument(call, 0, value))
        return with_argument(end, self.previous, value)


def _is_batch_norm(call: Any) -> bool:
    return bool(call.op.name == BATCH_NORM)


def blocks(module: Any) -> list[Block]:
    """Return the layers whose value has the type of their input, in program order."""
    weighted = {layer.end.var: layer for layer in layers(module)}
    found = []
    for binding in bindings(module):
        layer, name = weighted.get(binding.var), getattr(getattr(binding.value, "op", None), "name", "")
        if layer and _same_type(layer.binding.value.args[0], binding.var):
            found.append(_weighted(layer))
        elif name == BATCH_NORM or (name in POOLS and _same_type(binding.value.args[0], binding.var)):
            found.append(Block((binding.value,), describe(binding)))
    return found


def _weighted(layer: Layer) -> Block:
    first, last = layer.binding.value, layer.end.value
    if layer.bias is None:
        return Block((first,), layer.description)
    return Block((first, last), layer.description, int(not last.args[0].same_as(layer.binding.var)))


def _same_type(one: Any, other: Any) -> bool:
    return bool(ir.ffi.structural_equal(one.ty, other.ty))


@attrs.frozen(kw_only=True)
class LayerMutator(Mutator):
    """Changes a layer whose value has the type of its input.

    Layers are convolutions and matrix products with constant weights, together with their bias, batch
    normalisations and poolings.
    """

    level: ClassVar[Level] = "graph"
    stage: ClassVar[Stage] = "graph"
    groups: ClassVar[tuple[str, ...]] = ("weights",)
    origin: ClassVar[str] = DEEPMUTATION
    needs: ClassVar[str] = "layer that takes what it gives"

    @abstractmethod
    def change(self, block: Block, end: Any, builder: Any) -> Any:
        """Return what stands in the place of the layer's last call."""

    def sites(self, unit: Any) -> list[str]:
        """Describe each site: the variable, the operator and the shapes it reads."""
        return [block.description for block in blocks(unit)]

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        """Return a well-formed IRModule with the fault at the given sites, identical elsewhere."""
        found = blocks(unit)
        for site in sites:
            if not 0 <= site < len(found):
                raise IndexError(f"site {site} does not exist; there are {len(found)}")
        chosen = {hash(found[site].calls[-1]): found[site] for site in sites}
        ends = _Ends(chosen=chosen, change=self.change)
        return ends.apply(unit, range(len(chosen)))


@attrs.frozen(kw_only=True)
class _Ends(GraphMutator):
    """Changes the last calls of some layers; all keep their type, and so does every call that reads them."""

    ops = ("relax.nn.conv2d", "relax.matmul", "relax.add", BATCH_NORM, *POOLS)
    chosen: Mapping[int, Block]
    """By hash of the call, which tells one object from any other."""
    change: Callable[[Block, Any, Any], Any]

    def matches(self, call: Any) -> bool:
        """Accept the calls that were chosen."""
        return hash(call) in self.chosen

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return what stands in the place of the call."""
        return self.change(self.chosen[hash(call)], call, builder)

    @classmethod
    def examples(cls) -> list[Example]:
        """Return nothing: the operators that use this have examples of their own."""
        return []


class RemoveLayer(LayerMutator):
    """Remove a layer whose result has the type of its input.

    LR of the papers. Layers are convolutions and matrix products with constant weights, together with their
    bias, batch normalisations and poolings; see remove-activation for the others.
    """

    name = "remove-layer"

    def change(self, block: Block, end: Any, builder: Any) -> Any:
        """Return the layer's input."""
        return block.remove(end, builder)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a convolution, and a batch normalisation, whose result is a tuple."""
        norm = "n = R.nn.batch_norm(x, g, b, m, v, axis=1)\ny = n[0]"
        return [
            Example(graph(f"y = {_CONV2D.format('x')}", x=_IMAGE), graph("y = x", x=_IMAGE)),
            Example(graph(norm, **_BATCH_NORM), graph("n = x, m, v\ny = n[0]", **_BATCH_NORM)),
        ]


class DuplicateLayer(LayerMutator):
    """Repeat a layer whose result has the type of its input, with the same weights.

    LD of the papers. Layers are convolutions and matrix products with constant weights, together with their
    bias, batch normalisations and poolings. No activation functions: the most frequent, ReLU and ReLU6, are
    idempotent, so that the mutant would be equivalent.
    """

    name = "duplicate-layer"

    def change(self, block: Block, end: Any, builder: Any) -> Any:
        """Return the layer's value on its own value."""
        return block.repeat(end, builder)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a convolution, and a matrix product with its bias."""
        product = 'R.matmul({}, R.const([[2.0]], "float32"))'
        total = 'R.add({}, R.const([1.0], "float32"))'
        before = f"d = {product.format('x')}\ny = {total.format('d')}"
        after = f"""
            d = {product.format("x")}
            a = {total.format("d")}
            e = {product.format("a")}
            y = {total.format("e")}
        """
        twice = f"c = {_CONV2D.format('x')}\ny = {_CONV2D.format('c')}"
        return [
            Example(graph(f"y = {_CONV2D.format('x')}", x=_IMAGE), graph(twice, x=_IMAGE)),
            Example(graph(before, x=(1, 1)), graph(after, x=(1, 1))),
        ]


class RemoveActivation(GraphMutator):
    """Remove an activation function.

    AFR of the papers: ReLU, ReLU6, LeakyReLU, PReLU, GELU, SiLU, softplus, sigmoid and tanh. Not softmax: at
    the end of a network it changes no order of the scores, and no label.
    """

    name = "remove-activation"
    groups = ("weights",)
    origin = DEEPMUTATION
    ops = ACTIVATIONS
    needs = "activation of floats"

    def matches(self, call: Any) -> bool:
        """Accept activations of floats; of clips, those of ReLU6's kind."""
        is_clip = call.op.name == "relax.clip"
        return is_float(call.args[0]) and not (is_clip and getattr(call.args[1], "value", None) != 0)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the function's argument."""
        del builder
        return call.args[0]

    @classmethod
    def examples(cls) -> list[Example]:
        """Show ReLU."""
        return [Example(graph("y = R.nn.relu(x)", x=(1, 8)), graph("y = x", x=(1, 8)))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [RemoveLayer, DuplicateLayer, RemoveActivation]
