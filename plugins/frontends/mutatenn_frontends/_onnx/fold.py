"""Turns into plain constants what TVM's ONNX importer would not see to be constant."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

SHAPE_OPERATORS = {"Shape", "Size"}
PLAIN_VALUES = {"value_float", "value_floats", "value_int", "value_ints"}


def fold(proto: Any) -> None:
    """Make initialisers of Constant nodes and of all that is computed from shapes alone, in place.

    Exporters write ``Reshape`` to sizes taken from ``Shape``, to keep the batch free; with batch 1 and an
    image of fixed size all of that is constant. New constants can make more shapes known, hence the loop.
    """
    _replace(proto.graph, _constants(proto.graph))
    while any(node.op_type in SHAPE_OPERATORS for node in proto.graph.node):
        found = _find(proto)
        if not found.nodes:
            return
        _replace(proto.graph, _evaluate(proto, found))


def _constants(graph: Any) -> dict[str, Any]:
    """Return the values of Constant nodes by name, except strings and sparse tensors."""
    from onnx import helper, numpy_helper

    values = {}
    for node in graph.node:
        if node.op_type == "Constant":
            (attribute,) = node.attribute
            if attribute.name == "value":
                values[node.output[0]] = numpy_helper.to_array(attribute.t)
            elif attribute.name in PLAIN_VALUES:
                kind = np.float32 if "float" in attribute.name else np.int64
                values[node.output[0]] = np.array(helper.get_attribute_value(attribute), kind)
    return values


@attrs.define
class _Foldable:
    """Nodes that depend on shapes and constants alone, in order, and what they take from outside."""

    nodes: list[Any] = attrs.field(factory=list)
    shapes: dict[str, tuple[int, ...]] = attrs.field(factory=dict)
    constants: set[str] = attrs.field(factory=set)


def _find(proto: Any) -> _Foldable:
    shapes = _fixed_shapes(proto)
    constants = {tensor.name for tensor in proto.graph.initializer} | {""}
    found, known = _Foldable(), set[str]()
    for node in proto.graph.node:
        inputs = set(node.input)
        if node.op_type in SHAPE_OPERATORS and inputs <= shapes.keys():
            found.shapes |= {name: shapes[name] for name in inputs}
        elif inputs & known and inputs <= known | constants and not _has_graph(node):
            found.constants |= inputs - known
        else:  # arithmetic on weights alone is left to the compiler
            continue
        found.nodes.append(node)
        known.update(name for name in node.output if name)
    return found


def _has_graph(node: Any) -> bool:
    return any(attribute.HasField("g") for attribute in node.attribute)


def _fixed_shapes(proto: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes, by name, of the values whose shape is known and fixed."""
    import onnx.shape_inference

    graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    shapes = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
        if value.type.tensor_type.HasField("shape")
    }
    return {name: shape for name, shape in shapes.items() if all(size > 0 for size in shape)}


def _evaluate(proto: Any, found: _Foldable) -> dict[str, Any]:
    """Return every value that the nodes compute, by name."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    shapes = found.shapes.items()
    graph = helper.make_graph(
        found.nodes,
        "shapes",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes],
        [helper.make_empty_tensor_value_info(name) for node in found.nodes for name in node.output if name],
        [tensor for tensor in proto.graph.initializer if tensor.name in found.constants],
    )
    evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=proto.opset_import))
    # Only the shape of these is looked at: one number, spread without memory of its own.
    images = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes}
    return dict(zip(evaluator.output_names, evaluator.run(None, images), strict=True))


def _replace(graph: Any, values: dict[str, Any]) -> None:
    """Put values in the place of the nodes that compute them."""
    from onnx import numpy_helper

    kept = [node for node in graph.node if not values.keys() & set(node.output)]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()
    )
