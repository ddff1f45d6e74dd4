"""Rewrites forms of old ONNX operator sets, whose later ones TVM's importer takes them for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn_frontends._onnx.file import version_of
from mutatenn_frontends._onnx.refusals import unconvertible
from mutatenn_frontends._onnx.size import outline

if TYPE_CHECKING:
    from collections.abc import Iterator

BROADCAST_BY_AXIS = {"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"}
NUMPY_BROADCAST = 7
"""The operator set since which values broadcast as NumPy does it; before, ``axis`` says where."""
SHAPE_IS_AN_INPUT, TYPES_ARE_NUMBERS, BOUNDS_ARE_INPUTS = 5, 6, 10
"""The operator sets in which Reshape, Cast and Slice took the form they have."""
BY_ATTRIBUTES = {
    "Reshape": (SHAPE_IS_AN_INPUT, ("shape",)),
    "Slice": (BOUNDS_ARE_INPUTS, ("starts", "ends", "axes")),
}
"""Until which operator set an operator has attributes that are inputs now, and these in their order."""


DEFAULTS = {"AveragePool": (7, "count_include_pad", 1), "Concat": (4, "axis", 1)}
"""Until which operator set an operator had an attribute, or meant one, and what it was then by default."""


def modernise(proto: Any) -> None:
    """Rewrite, in place, old forms of operators as later ones; the model still names its operator set."""
    from onnx import helper

    opset = version_of(proto, "")
    ranks = _ranks(proto) if opset < NUMPY_BROADCAST else {}
    nodes: list[Any] = []
    for node in proto.graph.node:
        until, names = BY_ATTRIBUTES.get(node.op_type, (0, ()))
        if opset < until:
            _by_inputs(proto.graph, node, names)
        until, name, default = DEFAULTS.get(node.op_type, (0, "", 0))
        if opset < until and name not in {attribute.name for attribute in node.attribute}:
            node.attribute.append(helper.make_attribute(name, default))
        if opset < NUMPY_BROADCAST and node.op_type in {*BROADCAST_BY_AXIS, "PRelu"}:
            nodes += _broadcast(node, ranks, opset)
        if opset < TYPES_ARE_NUMBERS and node.op_type == "Cast":
            _by_number(node)
        nodes.append(node)
    if len(nodes) > len(proto.graph.node):
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)


def _by_inputs(graph: Any, node: Any, names: tuple[str, ...]) -> None:
    """Make inputs of attributes that are whole numbers."""
    from onnx import numpy_helper

    values = {attribute.name: attribute.ints for attribute in node.attribute}
    for name in names:
        if name in values:
            tensor = f"{node.output[0]}/{name}"
            graph.initializer.append(numpy_helper.from_array(np.array(values[name], np.int64), tensor))
            node.input.append(tensor)
    kept = [attribute for attribute in node.attribute if attribute.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)


def _by_number(node: Any) -> None:
    """Name the type that a Cast is to by its number."""
    from onnx import TensorProto, helper

    (name,) = (each.s.decode() for each in node.attribute if each.name == "to")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("to", TensorProto.DataType.Value(name.upper())))


def _broadcast(node: Any, ranks: dict[str, int], opset: int) -> Iterator[Any]:
    """Give the second value the axes of size one that it lacks at its end; yield what adds them."""
    from onnx import helper

    # A PRelu's axis is that of the channels; others have none where values end alike.
    axis = next(
        (each.i for each in node.attribute if each.name == "axis"), 1 if node.op_type == "PRelu" else None
    )
    if axis is None:
        return
    if any(name not in ranks for name in node.input):
        raise unconvertible(node, opset)
    first, second = (ranks[name] for name in node.input)
    more = first - axis % max(first, 1) - second
    if second and more > 0:
        name = f"{node.output[0]}/broadcast"
        yield helper.make_node("Unsqueeze", [node.input[1]], [name], axes=range(second, second + more))
        node.input[1] = name


def _ranks(proto: Any) -> dict[str, int]:
    """Return how many axes values have, by name, where that is known."""
    import onnx.shape_inference

    graph = onnx.shape_inference.infer_shapes(outline(proto)).graph
    found = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    return {**found, **{tensor.name: len(tensor.dims) for tensor in proto.graph.initializer}}
