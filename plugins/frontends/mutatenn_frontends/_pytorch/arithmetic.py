"""Conversions of PyTorch's arithmetic that TVM's importer has not, or makes something else of.

Some are made of other operators of PyTorch, which are imported then.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mutatenn import ir
from mutatenn_frontends._pytorch.arguments import arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
    return (
        found
        if str(found.ty.dtype) == dtype
        else importer.block_builder.emit(ir.relax.op.astype(found, dtype))
    )


def _operands(node: Any, importer: Any) -> tuple[Any, Any]:
    """Return both operands in the dtype of the result."""
    dtype = str(node.meta["val"].dtype).removeprefix("torch.")
    one, other = (_operand(importer, value, dtype) for value in node.args[:2])
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
        if node.args[1] == 0 and isinstance(node.args[1], int | float):  # which TVM would compute, and fail
            return emit(op.multiply(one, ir.relax.const(math.inf, str(one.ty.dtype))))
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
    value, op, emit = importer.env[image], ir.relax.op, importer.block_builder.emit
    dtype = str(value.ty.dtype)
    if "float" in dtype and (None in bounds or bounds[0] <= bounds[1]):
        return importer._clamp(node)
    for bound, limit in zip(bounds, (op.maximum, op.minimum), strict=True):
        value = value if bound is None else emit(limit(value, ir.relax.const(bound, dtype)))
    return value


def _reduced(node: Any, importer: Any, reduce: Callable[..., Any]) -> Any:
    """Convert a reduction over one dimension, some, or all where none is given."""
    image, dims, keep, *_ = arguments(node)
    dtype = str(node.meta["val"].dtype).removeprefix("torch.")
    value = _operand(importer, image, dtype)
    return importer.block_builder.emit(
        reduce(value, [dims] if isinstance(dims, int) else dims or None, bool(keep))
    )


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return what takes operators apart, by operator, for PyTorch."""
    torch = import_module("torch")
    aten = torch.ops.aten

    def add(one: Any, other: Any, *, alpha: float = 1) -> Any:
        return NotImplemented if alpha == 1 else one + other * alpha

    def subtract(one: Any, other: Any, *, alpha: float = 1) -> Any:
        return NotImplemented if alpha == 1 else one - other * alpha

    def subtract_from(one: Any, other: Any, alpha: float = 1) -> Any:
        return NotImplemented if alpha == 1 else other - one * alpha

    def elu(value: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
        if scale == input_scale == 1:
            return NotImplemented
        return aten.where(value > 0, value, aten.expm1(value * input_scale) * alpha) * scale

    def sinh(value: Any) -> Any:
        less = aten.expm1(value)
        return (less + less / (less + 1)) * 0.5

    def var_mean(value: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
        dims = list(range(value.dim())) if dim is None else dim
        variance = aten.var.correction(value, dims, correction=correction, keepdim=keepdim)
        return variance, aten.mean.dim(value, dims, keepdim)

    def smallest(value: Any, dim: int, keepdim: bool = False) -> Any:
        values, places = aten.max.dim(-value, dim, keepdim)
        return -values, places

    def group_norm(value: Any, weight: Any, bias: Any, n: int, channels: int, *rest: Any) -> Any:
        if weight is not None and bias is not None:
            return NotImplemented
        weight = value.new_ones(channels) if weight is None else weight
        bias = value.new_zeros(channels) if bias is None else bias
        return aten.native_group_norm.default(value, weight, bias, n, channels, *rest)

    def max_pool(value: Any, size: list[int]) -> Any:
        for dim, after in zip((-2, -1), size, strict=True):
            parts = [
                value.narrow(dim, start, end - start) for start, end in _windows(value.shape[dim], after)
            ]
            value = torch.cat([aten.amax(part, [dim], True) for part in parts], dim)
        return value, None

    return {
        aten.add.Tensor: add,
        aten.sub.Tensor: subtract,
        aten.rsub.Scalar: subtract_from,
        aten.rsub.Tensor: subtract_from,
        aten.elu.default: elu,
        aten.sinh.default: sinh,
        aten.cosh.default: lambda value: (aten.exp(value) + aten.exp(-value)) * 0.5,
        aten.exp2.default: lambda value: aten.pow.Scalar(2, value),
        aten.erfc.default: lambda value: 1 - aten.erf(value),
        aten.hypot.default: lambda one, other: aten.sqrt(one * one + other * other),
        aten.var_mean.correction: var_mean,
        aten.min.dim: smallest,
        aten.any.default: lambda value: aten.any.dim(value.reshape(-1), 0),
        aten.native_group_norm.default: group_norm,
        aten.adaptive_max_pool2d.default: max_pool,
    }


def _windows(before: int, after: int) -> Iterator[tuple[int, int]]:
    """Yield where each window of adaptive pooling begins and ends."""
    for place in range(after):
        yield place * before // after, -(-(place + 1) * before // after)
