"""How loads and stores move through memory as the axes advance."""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import ir
from mutatenn_backends._schedules.cpu._stages import NotApplicableError, loads_in, need, replace, variables_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "FloorDiv": operator.floordiv,
    "FloorMod": operator.mod,
    "Min": np.minimum,
    "Max": np.maximum,
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
    "EQ": operator.eq,
    "NE": operator.ne,
    "And": np.logical_and,
    "Or": np.logical_or,
}


def evaluate(expr: Any, values: Mapping[Any, Any]) -> Any:
    """Compute an expression on integers or arrays; raises NotApplicableError for what it does not know."""
    if isinstance(expr, ir.tvm.ir.Var):
        need(expr in values, "a guard on something else")
        return values[expr]
    if isinstance(expr, (ir.tirx.IntImm, ir.tirx.FloatImm)):
        return np.dtype(str(expr.ty.dtype)).type(expr.value)
    if isinstance(expr, ir.tirx.Cast):
        return np.asarray(evaluate(expr.value, values)).astype(str(expr.ty.dtype))
    if isinstance(expr, ir.tirx.Not):
        return np.logical_not(evaluate(expr.a, values))
    compute = _BINARY.get(type(expr).__name__)
    if compute is None:
        raise NotApplicableError(f"a guard with {type(expr).__name__}")
    return compute(evaluate(expr.a, values), evaluate(expr.b, values))


def stride(load: Any, axis: Any, extents: Mapping[Any, int]) -> int | None:
    """Return how far in memory a load moves per step of an axis, or None where that depends on the place."""
    steps = set()
    for low in (0, 1):  # corners of the other axes: enough for the affine indices that kernels have
        point = {each: low * (extents[each] - 1) for each in extents}
        places = [_offset(load, {**point, axis: step}) for step in range(min(3, extents[axis]))]
        steps |= {after - before for before, after in itertools.pairwise(places)}
    return steps.pop() if len(steps) == 1 else None


def _offset(load: Any, point: Mapping[Any, int]) -> int:
    offset = 0
    for index, size in zip(load.indices, load.source.ty.shape, strict=True):
        offset = offset * int(size) + int(evaluate(index, point))
    return offset


def fused_axes(
    axes: Sequence[Any],
    extents: Mapping[Any, int],
    values: Sequence[Any],
    stores: Sequence[tuple[Any, ...]],
    covered: Mapping[Any, int],
) -> tuple[Any, ...]:
    """Return the last axes, two at most, that all values and stores walk as if they were one.

    An axis can be fused to the one after it where each load and store has them side by side as plain indices
    over the whole of their dimensions, or has none of them, and where nothing else depends on them.
    """
    # Of three, TVM no longer sees that the quotients and remainders add up to one step after the other.
    fused: tuple[Any, ...] = tuple(axes[-1:])
    accesses = [(load.indices, load.source.ty.shape) for load in loads_in(*values)]
    for axis in axes[-2:-1]:
        longer = (axis, *fused)
        whole = all(covered[each] == extents[each] for each in fused)
        if not whole or _used_outside_indices(longer, values):
            break
        if not all(_walks(indices, shape, longer, extents) for indices, shape in accesses):
            break
        if not all(_adjacent(indices, longer) for indices in stores):
            break
        fused = longer
    return fused


def _used_outside_indices(axes: Sequence[Any], values: Sequence[Any]) -> bool:
    blanked = [replace(value, {}, {load.source: _blank for load in loads_in(value)}) for value in values]
    return bool(variables_in(*blanked) & set(axes))


def _blank(_: Any) -> Any:
    return ir.tirx.FloatImm("float32", 0.0)


def _adjacent(indices: Sequence[Any], axes: Sequence[Any]) -> bool:
    """Tell whether some indices hold the axes in order, with nothing but unit dimensions between."""
    plain = [index for index in indices if not isinstance(index, ir.tirx.IntImm)]
    places = [n for n, index in enumerate(plain) if any(index.same_as(axis) for axis in axes)]
    if not places or places != list(range(places[0], places[0] + len(axes))):
        return False
    return all(plain[place].same_as(axis) for place, axis in zip(places, axes, strict=True))


def _walks(
    indices: Sequence[Any], shape: Sequence[Any], axes: Sequence[Any], extents: Mapping[Any, int]
) -> bool:
    if not variables_in(*indices) & set(axes):
        return True
    wide = [(index, int(size)) for index, size in zip(indices, shape, strict=True) if int(size) != 1]
    places = [n for n, (index, _) in enumerate(wide) if variables_in(index) & set(axes)]
    if places != list(range(places[0], places[0] + len(axes))):
        return False
    chosen = [wide[place] for place in places]
    if not all(index.same_as(axis) for (index, _), axis in zip(chosen, axes, strict=True)):
        return False
    return all(size == extents[axis] for (_, size), axis in zip(chosen[1:], axes[1:], strict=True))
