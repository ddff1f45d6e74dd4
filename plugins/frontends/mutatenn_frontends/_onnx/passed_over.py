"""Conversions of ONNX operators of which TVM's importer passes over an attribute, or an old form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mutatenn import InputError, ir

UNKNOWN_TOPK, LIKE_TOPK = 10, 11
"""The operator set whose TopK the importer takes for an earlier one, and the set whose TopK it is like."""


def topk(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert TopK, whose k is an input since operator set 10."""
    return theirs.get_converter(LIKE_TOPK if opset == UNKNOWN_TOPK else opset)(*given)


def divide(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert Div; by a constant zero to a product with infinity, the same, which the compiler can build."""
    _, inputs, _, _ = given
    by = inputs[1]
    number = by.value.numpy() if isinstance(by, ir.tvm.ir.GenericConst) else None
    if number is None or number.size != 1 or number.dtype.kind != "f" or number.item() != 0:
        return theirs.get_converter(opset)(*given)
    infinite = np.full(number.shape, math.copysign(math.inf, number.item()), number.dtype)
    return ir.relax.op.multiply(inputs[0], ir.relax.const(infinite))


def is_inf(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert IsInf, also of one sign alone."""
    _, inputs, attributes, _ = given
    signs = [int(attributes.get(f"detect_{name}", 1)) for name in ("negative", "positive")]
    if all(signs):
        return theirs.get_converter(opset)(*given)
    bound = math.inf if signs[1] else -math.inf if signs[0] else math.nan
    return ir.relax.op.equal(inputs[0], ir.relax.const(bound, str(inputs[0].ty.dtype)))


def conv_transpose(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert ConvTranspose, the size of its result given by ``output_shape`` as well."""
    builder, inputs, attributes, params = given
    wanted = attributes.get("output_shape")
    if not wanted:
        return theirs.get_converter(opset)(*given)
    sizes, kernel = ([int(size) for size in each.ty.shape][2:] for each in inputs[:2])
    ones = [1] * len(sizes)
    steps, gaps = (list(attributes.get(name) or ones) for name in ("strides", "dilations"))
    more = list(attributes.get("output_padding") or [0] * len(sizes))
    totals = [
        step * (size - 1) + extra + (window - 1) * gap + 1 - out
        for step, size, extra, window, gap, out in zip(
            steps, sizes, more, kernel, gaps, wanted[-len(sizes) :], strict=True
        )
    ]
    less, rest = [max(each, 0) // 2 for each in totals], [(max(each, 0) + 1) // 2 for each in totals]
    upper = attributes.get("auto_pad") == b"SAME_UPPER"
    written = {
        **{name: value for name, value in attributes.items() if name not in ("auto_pad", "output_shape")},
        "pads": [*less, *rest] if upper else [*rest, *less],
        "output_padding": [extra + max(-total, 0) for extra, total in zip(more, totals, strict=True)],
    }
    return theirs.get_converter(opset)(builder, inputs, written, params)


def max_pool(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert MaxPool; SAME_LOWER to the padding that ONNX says, with which results are as many."""
    builder, inputs, attributes, params = given
    if attributes.get("auto_pad") != b"SAME_LOWER":
        return theirs.get_converter(opset)(*given)
    kernel = attributes["kernel_shape"]
    sizes = [int(size) for size in inputs[0].ty.shape][2:]
    steps, gaps = (attributes.get(name) or [1] * len(sizes) for name in ("strides", "dilations"))
    missing = [
        max((math.ceil(size / step) - 1) * step + (window - 1) * gap + 1 - size, 0)
        for size, step, window, gap in zip(sizes, steps, kernel, gaps, strict=True)
    ]
    pads = [*((each + 1) // 2 for each in missing), *(each // 2 for each in missing)]
    written = {**attributes, "auto_pad": b"NOTSET", "pads": pads}
    return theirs.get_converter(opset)(builder, inputs, written, params)


def rms_normalization(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert RMSNormalization; over all axes with one more before them, as TVM cannot build it else."""
    builder, inputs, attributes, params = given
    data, rank = inputs[0], len(inputs[0].ty.shape)
    if int(attributes.get("axis", -1)) % rank:
        return theirs.get_converter(opset)(*given)
    more = [builder.normalize(ir.relax.op.expand_dims(data, 0)), *inputs[1:]]
    result = theirs.get_converter(opset)(builder, more, {**attributes, "axis": 1}, params)
    return ir.relax.op.squeeze(builder.normalize(result), 0)


def require(attribute: str, default: bytes, theirs: Any, opset: int, *given: Any) -> Any:
    """Convert an operator whose ``attribute`` the importer passes over; raise ValueError for any but one."""
    _, _, attributes, _ = given
    if attributes.get(attribute, default) != default:
        raise ValueError(attribute)
    return theirs.get_converter(opset)(*given)


def unfixed(opset: int, *_: Any) -> Any:
    """Refuse NonMaxSuppression, which TVM may give a fixed size that it cannot build."""
    raise InputError(
        f"has a NonMaxSuppression (operator set {opset}) whose result has no fixed size; choose an "
        "output that does not need it"
    )


def compress(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert Compress by a constant condition to a choice of these places, as many whatever the image."""
    _, (data, condition, *_), attributes, _ = given
    if not isinstance(condition, ir.tvm.ir.GenericConst):
        return theirs.get_converter(opset)(*given)
    places = ir.relax.const(np.flatnonzero(condition.value.numpy()), "int64")
    axis = attributes.get("axis")
    if axis is None:
        return ir.relax.op.take(ir.relax.op.reshape(data, [-1]), places, axis=0)
    return ir.relax.op.take(data, places, axis=int(axis) % len(data.ty.shape))


def concat(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert Concat, without its empty inputs, with which TVM's kernels do not fit together."""
    builder, inputs, attributes, params = given
    return theirs.get_converter(opset)(builder, [*filter(_holds, inputs)] or inputs, attributes, params)


def _holds(value: Any) -> bool:
    """Tell whether a value may have elements."""
    shape = getattr(value.ty, "shape", None)
    sizes = shape if isinstance(shape, ir.relax.ShapeExpr) else ()
    return all(not isinstance(size, ir.tirx.IntImm) or int(size) > 0 for size in sizes)
