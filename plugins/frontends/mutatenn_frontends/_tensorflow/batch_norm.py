"""Writes batch normalisations that a TensorFlow graph spells out in arithmetic as one operator each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn_frontends._shared.classifier import IMAGE_RANK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FLOAT = 1
"""The number of float32 in TensorFlow's protobuf."""
ADD = ("Add", "AddV2")


@attrs.frozen
class _Norm:
    """``data * m + (offset - mean * m)`` with ``m = scale / sqrt(variance + epsilon)``: names of tensors."""

    data: str
    scale: str
    offset: str
    mean: str
    variance: str
    epsilon: float


def gather(function: Any) -> Any:
    """Return the ``GraphDef`` of a ``ConcreteFunction`` of constant weights with one node for each.

    Keras and ``tf.nn.batch_normalization`` spell them out; converters would fold that into other weights.
    """
    definition = function.graph.as_graph_def()
    graph = _Graph({node.name: node for node in definition.node})
    for node in list(definition.node):
        norm = graph.norm(node) if node.op in ADD else None
        if norm and graph.fits(norm, function.graph.get_tensor_by_name(_full(norm.data)).shape):
            scale = norm.scale or _add_ones(definition, node, graph.value(norm.variance))
            _write(node, norm, scale)
    return definition


@attrs.frozen
class _Graph:
    nodes: dict[str, Any]

    def source(self, tensor: str) -> Any:
        """Return the node that computes a tensor, behind identities."""
        node = self.nodes[tensor.partition(":")[0]]
        return self.source(node.input[0]) if node.op == "Identity" else node

    def pairs(self, node: Any, *operators: str) -> Iterator[tuple[str, str]]:
        """Yield the operands of a node both ways around, if it is one of the operators."""
        if node.op in operators:
            first, second = (name for name in node.input if not name.startswith("^"))
            yield first, second
            if node.op != "Sub":
                yield second, first

    def value(self, tensor: str) -> NDArray[np.generic] | None:
        """Return the value of a constant, None if it is computed."""
        node = self.source(tensor)
        if node.op != "Const":
            return None
        found: NDArray[np.generic] = import_module("tensorflow").make_ndarray(node.attr["value"].tensor)
        return found

    def channels(self, tensor: str) -> str:
        """Return the constant of one float32 per channel, the last axis; empty if the tensor is no such."""
        node = self.source(tensor)
        if node.op == "Reshape":  # from [channels] to [1, 1, 1, channels]
            shape = self.value(node.input[1])
            if shape is None or shape.size != IMAGE_RANK or any(shape[:-1] != 1):
                return ""
            node = self.source(node.input[0])
        value = self.value(node.name)
        return str(node.name) if value is not None and value.ndim == 1 and value.dtype == np.float32 else ""

    def fits(self, norm: _Norm, shape: Any) -> bool:
        """Tell whether this is of ``[batch, height, width, channels]``, with numbers for each channel."""
        vectors = [norm.offset, norm.mean, norm.variance, *filter(None, [norm.scale])]
        sizes = [each.size for each in map(self.value, vectors) if each is not None]
        return shape.rank == IMAGE_RANK and all(size == shape[-1] for size in sizes)

    def norm(self, node: Any) -> _Norm | None:
        """Return the batch normalisation that an addition ends."""
        for product, shift in self.pairs(node, *ADD):
            for offset, moved in self.pairs(self.source(shift), "Sub"):
                for mean, factor in self.pairs(self.source(moved), "Mul"):
                    found = self._norm(product, factor, self.channels(offset), self.channels(mean))
                    if found:
                        return found
        return None

    def _norm(self, product: str, factor: str, offset: str, mean: str) -> _Norm | None:
        multiplier = self.source(factor)
        for data, same in self.pairs(self.source(product), "Mul"):
            if offset and mean and self.source(same) is multiplier:
                for scale, root in (("", factor), *self.pairs(multiplier, "Mul")):
                    found = self._variance(self.source(root))
                    if found and (not scale or self.channels(scale)):
                        return _Norm(data, scale and self.channels(scale), offset, mean, *found)
        return None

    def _variance(self, root: Any) -> tuple[str, float] | None:
        """Return variance and epsilon of a node that is 1 / sqrt(variance + epsilon)."""
        if root.op == "Rsqrt":
            for variance, epsilon in self.pairs(self.source(root.input[0]), *ADD):
                value = self.value(epsilon)
                if value is not None and value.size == 1 and self.channels(variance):
                    return self.channels(variance), float(value.item())
        return None


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"


def _add_ones(definition: Any, node: Any, like: Any) -> str:
    """Add the constant of a normalisation without a scale; return its name."""
    ones = definition.node.add(name=f"{node.name}/ones", op="Const")
    ones.attr["dtype"].type = FLOAT
    ones.attr["value"].tensor.CopyFrom(import_module("tensorflow").make_tensor_proto(np.ones_like(like)))
    return str(ones.name)


def _write(node: Any, norm: _Norm, scale: str) -> None:
    """Turn the last addition into the one operator, of which it keeps the name."""
    node.op = "FusedBatchNormV3"
    node.input[:] = [norm.data, scale, norm.offset, norm.mean, norm.variance]
    node.attr.clear()
    node.attr["T"].type = node.attr["U"].type = FLOAT
    node.attr["data_format"].s = b"NHWC"
    node.attr["epsilon"].f = norm.epsilon
    node.attr["is_training"].b = False
