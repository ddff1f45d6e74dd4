"""Operators of PyTorch that are made of others, which are imported then."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return what takes operators apart, by operator, for PyTorch."""
    aten = import_module("torch").ops.aten
    return {
        aten.add.Tensor: _add,
        aten.sub.Tensor: _subtract,
        aten.rsub.Scalar: _subtract_from,
        aten.rsub.Tensor: _subtract_from,
        aten.elu.default: _elu,
        aten.sinh.default: _sinh,
        aten.cosh.default: lambda value: (value.exp() + (-value).exp()) * 0.5,
        aten.exp2.default: lambda value: aten.pow.Scalar(2, value),
        aten.erfc.default: lambda value: 1 - value.erf(),
        aten.hypot.default: lambda one, other: (one * one + other * other).sqrt(),
        aten.var_mean.correction: _var_mean,
        aten.min.dim: _min,
        aten.any.default: lambda value: value.reshape(-1).any(0),
        aten.native_group_norm.default: _group_norm,
        aten._native_batch_norm_legit.no_stats: _own_statistics,  # its name
        aten.adaptive_max_pool2d.default: _adaptive_max_pool,
    }


def _add(one: Any, other: Any, *, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else one + other * alpha


def _subtract(one: Any, other: Any, *, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else one - other * alpha


def _subtract_from(one: Any, other: Any, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else other - one * alpha


def _elu(value: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    if scale == input_scale == 1:
        return NotImplemented
    return value.where(value > 0, (value * input_scale).expm1() * alpha) * scale


def _sinh(value: Any) -> Any:
    less = value.expm1()
    return (less + less / (less + 1)) * 0.5


def _var_mean(value: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    dims = list(range(value.dim())) if dim is None else dim
    return value.var(dims, correction=correction, keepdim=keepdim), value.mean(dims, keepdim)


def _min(value: Any, dim: int, keepdim: bool = False) -> Any:
    values, places = (-value).max(dim, keepdim)
    return -values, places


def _group_norm(value: Any, weight: Any, bias: Any, count: int, channels: int, *rest: Any) -> Any:
    if weight is not None and bias is not None:
        return NotImplemented
    weight = value.new_ones(channels) if weight is None else weight
    bias = value.new_zeros(channels) if bias is None else bias
    norm = import_module("torch").ops.aten.native_group_norm.default
    return norm(value, weight, bias, count, channels, *rest)


def _own_statistics(value: Any, weight: Any, bias: Any, *rest: Any) -> Any:
    """Normalise each channel, the second dimension, by its own mean and variance."""
    *_training_and_momentum, eps = rest
    dims = [dim for dim in range(value.dim()) if dim != 1]
    mean = value.mean(dims, True)
    rooted = (value.var(dims, correction=0, keepdim=True) + eps).rsqrt()
    shape = [-1 if dim == 1 else 1 for dim in range(value.dim())]
    result = (value - mean) * rooted
    result = result if weight is None else result * weight.reshape(shape)
    result = result if bias is None else result + bias.reshape(shape)
    return result, mean, rooted


def _adaptive_max_pool(value: Any, size: Sequence[int]) -> Any:
    """Return the largest of each window; not where they are."""
    for dim, after in zip((-2, -1), size, strict=True):
        parts = [value.narrow(dim, start, end - start) for start, end in _windows(value.shape[dim], after)]
        value = import_module("torch").cat([part.amax(dim, True) for part in parts], dim)
    return value, None


def _windows(before: int, after: int) -> Iterator[tuple[int, int]]:
    """Yield where each window of adaptive pooling begins and ends."""
    for place in range(after):
        yield place * before // after, -(-(place + 1) * before // after)
