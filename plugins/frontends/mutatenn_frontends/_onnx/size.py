"""Refuses ONNX models that would take more time or memory than any image classifier does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mutatenn import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_OPERATORS = 10_000
"""Of a model, functions inlined; the largest classifiers have some thousands."""
MOST_INPUTS = 1000
"""Of one operator."""
LARGEST_VALUE = 2**31
"""Bytes of one value, with batch 1."""
SHAPING_BYTES = 4096
"""Constants that are no larger may be shapes; what larger ones hold has no part in the shapes of others."""


def require_few_operators(proto: Any) -> None:
    """Raise InputError for more operators or inputs than a classifier has, before functions are inlined."""
    counts: dict[tuple[str, str], int] = {}
    bodies = {(function.domain, function.name): function.node for function in proto.functions}
    total = _count(proto.graph.node, bodies, counts, ())
    if total > MOST_OPERATORS:
        shown = str(total) if total < 10**9 else "more than 10^9"
        raise InputError(
            f"has {shown} operators, at most {MOST_OPERATORS} are supported; give an image classifier"
        )


def _count(
    nodes: Any,
    bodies: dict[tuple[str, str], Any],
    counts: dict[tuple[str, str], int],
    within: tuple[tuple[str, str], ...],
) -> int:
    """Return how many operators nodes come to once functions are inlined; ``counts`` remembers functions."""
    total = 0
    for node in nodes:
        if len(node.input) > MOST_INPUTS:
            raise InputError(
                f"has an operator {node.op_type} with {len(node.input)} inputs, at most {MOST_INPUTS} are "
                "supported; export it again"
            )
        called = (node.domain, node.op_type)
        if called in within:
            raise InputError(f"has a function {node.op_type!r} that calls itself; export it again")
        if called in bodies and called not in counts:
            counts[called] = _count(bodies[called], bodies, counts, (*within, called))
        total += counts.get(called, 1)
        total += sum(_count(graph.node, bodies, counts, within) for graph in _inner(node))
    return total


def _inner(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def require_small_values(proto: Any) -> None:
    """Raise InputError that names the first value of impossible size, by ONNX's own shape inference."""
    import onnx.shape_inference
    from onnx.helper import tensor_dtype_to_np_dtype

    graph = onnx.shape_inference.infer_shapes(outline(proto), data_prop=True).graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        sizes = [size.dim_value for size in kind.shape.dim]  # 0 where it is not known
        if any(size < 0 for size in sizes):
            raise InputError(f"its value {value.name!r} would have a size below 0; export it again")
        try:
            width = tensor_dtype_to_np_dtype(kind.elem_type).itemsize if kind.elem_type else 1
        except (KeyError, TypeError, AttributeError):
            raise InputError(
                f"its value {value.name!r} is of an unknown type ({kind.elem_type}); export it again"
            ) from None
        if sizes and math.prod(sizes) * width > LARGEST_VALUE:
            shape = "x".join(map(str, sizes))
            raise InputError(
                f"its value {value.name!r} of {shape} would take {math.prod(sizes) * width / 2**30:.3g} GiB, "
                f"at most {LARGEST_VALUE >> 30} are supported; export it for smaller images"
            )


def outline(proto: Any) -> Any:
    """Return the model without its weights: a copy in which they are inputs."""
    import onnx
    from onnx import helper

    outline = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    outline.graph.name = proto.graph.name
    outline.graph.node.extend(proto.graph.node)
    outline.graph.input.extend(proto.graph.input)
    outline.graph.output.extend(proto.graph.output)
    for tensor in proto.graph.initializer:
        if tensor.ByteSize() <= SHAPING_BYTES:
            outline.graph.initializer.append(tensor)
        elif tensor.name not in {value.name for value in outline.graph.input}:
            weight = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            outline.graph.input.append(weight)
    return outline
