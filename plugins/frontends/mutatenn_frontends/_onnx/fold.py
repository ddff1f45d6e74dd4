"""Turns into plain constants what TVM's ONNX importer would not see to be constant."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from mutatenn_frontends._onnx.size import SHAPING_BYTES, outline

SHAPE_OPERATORS = {"Shape", "Size"}
LEFT = {
    *("Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"),
    *("DequantizeLinear", "QuantizeLinear"),
}
"""Operators that stay, also of constants: what is random, and what tells that weights are quantised."""
PLAIN_VALUES = {"value_float", "value_floats", "value_int", "value_ints"}


def fold(proto: Any) -> None:
    """Make initialisers of Constant nodes and of all that is computed from shapes alone, in place.

    Exporters write ``Reshape`` to sizes taken from ``Shape``, to keep the batch free; with batch 1 and an
    image of fixed size all of that is constant. So is what is computed of small constants, which may be
    shapes. New constants can make more shapes known, hence the loop.
    """
    _replace(proto.graph, _constants(proto.graph))
    while (found := _fold_once(proto)) or _choose_branch(proto.graph):
        _replace(proto.graph, found)


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


def _choose_branch(graph: Any) -> bool:
    """Put the branch that is taken in the place of an If of a constant condition, if there is one."""
    from onnx import helper, numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    places = (
        place for place, node in enumerate(graph.node) if node.op_type == "If" and node.input[0] in tensors
    )
    place = next(places, None)
    if place is None:
        return False
    node = graph.node[place]
    wanted = "then_branch" if numpy_helper.to_array(tensors[node.input[0]]).item() else "else_branch"
    (branch,) = (each.g for each in node.attribute if each.name == wanted)
    ends = [
        helper.make_node("Identity", [inner.name], [outer])
        for inner, outer in zip(branch.output, node.output, strict=True)
    ]
    nodes = [*graph.node[:place], *branch.node, *ends, *graph.node[place + 1 :]]
    graph.initializer.extend(branch.initializer)
    del graph.node[:]
    graph.node.extend(nodes)
    _replace(graph, _constants(graph))
    return True


def _fold_once(proto: Any) -> dict[str, Any]:
    """Return what is constant by now, by name; what cannot be computed is left to the importer."""
    from onnx import numpy_helper

    graph = proto.graph
    asked = any(node.op_type in SHAPE_OPERATORS for node in graph.node)
    shapes = _fixed_shapes(proto) if asked else {}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    small = {name for name, tensor in tensors.items() if tensor.ByteSize() <= SHAPING_BYTES}
    found: dict[str, Any] = {}

    def value_of(name: str) -> Any:
        return found[name] if name in found else numpy_helper.to_array(tensors[name])

    for node in graph.node:
        inputs = {name for name in node.input if name}
        if node.op_type in SHAPE_OPERATORS and inputs <= shapes.keys():
            # Only the shape of these is looked at: one number, spread without memory of its own.
            given = {name: np.broadcast_to(np.float32(0), shapes[name]) for name in inputs}
        elif _is_fixed(node) and inputs & (small | found.keys()) and inputs <= tensors.keys() | found.keys():
            given = {name: value_of(name) for name in inputs}
        else:  # arithmetic on weights alone is left to the compiler
            continue
        with suppress(Exception):  # whatever an operator makes of values that do not fit together
            found |= _evaluate(proto, node, given)
    return found


def _is_fixed(node: Any) -> bool:
    """Tell whether equal inputs give equal results, as far as is seen without a look into subgraphs."""
    return node.op_type not in LEFT and not any(attribute.HasField("g") for attribute in node.attribute)


def _fixed_shapes(proto: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes, by name, of the values whose shape is known and fixed."""
    import onnx.shape_inference

    graph = onnx.shape_inference.infer_shapes(outline(proto), data_prop=True).graph
    shapes = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
        if value.type.tensor_type.HasField("shape")
    }
    fixed = {name: shape for name, shape in shapes.items() if all(size > 0 for size in shape)}
    return {**fixed, **{tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}}


def _evaluate(proto: Any, node: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return every value that a node computes, by name."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = [name for name in node.output if name]
    graph = helper.make_graph(
        [node],
        "constant",
        [*map(helper.make_empty_tensor_value_info, given)],
        [*map(helper.make_empty_tensor_value_info, names)],
    )
    evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=proto.opset_import))
    return dict(zip(names, evaluator.run(None, given), strict=True))


def _replace(graph: Any, values: dict[str, Any]) -> None:
    """Put values in the place of the nodes that compute them."""
    from onnx import numpy_helper

    kept = [node for node in graph.node if not values.keys() & set(node.output)]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()
    )
