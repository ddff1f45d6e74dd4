"""Conversions of PyTorch's arithmetic that TVM's importer has not, or makes something else of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mutatenn import ir
from mutatenn_frontends._pytorch.arguments import arguments

if TYPE_CHECKING:
    from collections.abc import Callable


def arithmetic() -> dict[str, Callable[[Any, Any], Any]]:
    """Return what converts a node for an importer, by operator, as ``custom_convert_map`` wants it."""
    quotients = ("div.Tensor", "div.Scalar", "div.Tensor_mode", "div.Scalar_mode")
    return {
        **dict.fromkeys(quotients, _quotient),
        **dict.fromkeys(("rsub.Scalar", "rsub.Tensor"), _reversed_difference),
        "clamp.default": _clamp,
        **dict.fromkeys(("eq.Scalar", "ne.Scalar"), _compared),
        "amax.default": lambda node, importer: _reduced(node, importer, ir.relax.op.max),
        "amin.default": lambda node, importer: _reduced(node, importer, ir.relax.op.min),
        "prod.dim_int": lambda node, importer: _reduced(node, importer, ir.relax.op.prod),
    }


def _operand(importer: Any, value: Any, dtype: str) -> Any:
    """Return a node's value, or a number, in a dtype."""
    if isinstance(value, bool | int | float):
        return ir.relax.const(value, dtype)
    found = importer.env[value]
    same = str(found.ty.dtype) == dtype
    return found if same else importer.block_builder.emit(ir.relax.op.astype(found, dtype))


def _dtype(node: Any) -> str:
    """Return the dtype of a node's result."""
    return str(node.meta["val"].dtype).removeprefix("torch.")


def _operands(node: Any, importer: Any) -> tuple[Any, Any]:
    """Return both operands in the dtype of the result."""
    one, other = (_operand(importer, value, _dtype(node)) for value in node.args[:2])
    return one, other


def _reversed_difference(node: Any, importer: Any) -> Any:
    """Convert rsub with a factor of 1: the second operand less the first."""
    one, other = _operands(node, importer)
    return importer.block_builder.emit(ir.relax.op.subtract(other, one))


def _quotient(node: Any, importer: Any) -> Any:
    """Convert a division, true or rounded towards zero or down, whatever the types."""
    op, emit = ir.relax.op, importer.block_builder.emit
    one, other = _operands(node, importer)
    mode = node.kwargs.get("rounding_mode")
    if mode is None:
        number = node.args[1]
        if isinstance(number, int | float) and number == 0:  # which TVM would compute, and fail
            return emit(op.multiply(one, ir.relax.const(math.copysign(math.inf, number), str(one.ty.dtype))))
        return emit(op.divide(one, other))
    if "float" not in str(one.ty.dtype):
        return emit(op.floor_divide(one, other) if mode == "floor" else op.divide(one, other))
    if mode == "trunc":
        return emit(op.trunc(emit(op.divide(one, other))))
    # As PyTorch does it: the quotient of what is a multiple, or next to one, is not rounded down further.
    rest = emit(op.mod(one, other))
    whole = emit(op.round(emit(op.divide(emit(op.subtract(one, rest)), other))))
    zero, unit = (ir.relax.const(value, str(one.ty.dtype)) for value in (0, 1))
    signs = emit(op.less(emit(op.multiply(rest, other)), zero))
    return emit(op.where(signs, emit(op.subtract(whole, unit)), whole))


def _compared(node: Any, importer: Any) -> Any:
    """Convert a comparison with a number; truth values count as whole numbers."""
    one, number = node.args
    dtype = str(importer.env[one].ty.dtype)
    if dtype == "bool":
        dtype = "int32"
    elif "float" not in dtype and isinstance(number, float):
        dtype = "float32"
    compare = ir.relax.op.equal if node.target.__name__ == "eq.Scalar" else ir.relax.op.not_equal
    operands = (_operand(importer, value, dtype) for value in (one, number))
    return importer.block_builder.emit(compare(*operands))


def _clamp(node: Any, importer: Any) -> Any:
    """Convert clamp by numbers; where the least is above the most, all become the latter."""
    image, *bounds = arguments(node)
    op, emit, dtype = ir.relax.op, importer.block_builder.emit, _dtype(node)
    if "float" in dtype and (None in bounds or bounds[0] <= bounds[1]):
        return importer._clamp(node)
    value = _operand(importer, image, dtype)
    for bound, limit in zip(bounds, (op.maximum, op.minimum), strict=True):
        value = value if bound is None else emit(limit(value, ir.relax.const(bound, dtype)))
    return value


def _reduced(node: Any, importer: Any, reduce: Callable[..., Any]) -> Any:
    """Convert a reduction over one dimension, some, or all where none is given."""
    image, dims, keep, *_ = arguments(node)
    value, axes = _operand(importer, image, _dtype(node)), [dims] if isinstance(dims, int) else dims or None
    return importer.block_builder.emit(reduce(value, axes, bool(keep)))
