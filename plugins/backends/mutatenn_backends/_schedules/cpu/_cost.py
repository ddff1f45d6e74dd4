"""Estimates what a tiling costs, and picks one."""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING, Any

from mutatenn_backends._schedules.cpu._contract import Roles, Tiling
from mutatenn_backends._schedules.cpu._machine import Machine, pieces, spans
from mutatenn_backends._schedules.cpu._stages import need, variables_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn_backends._schedules.cpu._prepare import Reduction

LATENCY = 4  # cycles from a multiply-add to its next use
CYCLES_PER_COPY = 1.5  # of an element
SHORTEST_LOOP = 3  # iterations; anything shorter is unrolled
COLD = 128 << 10  # bytes
NEAR_CACHE = 256 << 10  # bytes that stay close while other data streams by


def candidates(reduction: Reduction, roles: Roles, machine: Machine) -> Iterator[Tiling]:
    """Yield the tilings whose outputs and operands fit the registers."""
    width = reduction.size(roles.columns)
    vectors = range(1, 1 + min(8, -(-width // machine.lanes)))
    sizes = itertools.product(_sizes(reduction, roles.rows, 16), _sizes(reduction, roles.lines, 8), vectors)
    outside = _rows_outside(reduction, roles)
    ahead = _read_ahead(reduction, roles)
    for rows, lines, across in sizes:
        found = min(width, across * machine.lanes)
        count = len(pieces(found, machine.lanes)) * lines
        if (
            rows * count + count + _scalars(reduction, rows) <= machine.registers
            or rows * lines * across == 1
        ):
            yield Tiling(rows, found, machine.lanes, lines, outside, _unroll(reduction), ahead)


def _scalars(reduction: Reduction, rows: int) -> int:
    """Return the registers for the operands that all of a row shares.

    Where several terms are at hand, in a window, LLVM loads all of them before it uses the first.
    """
    return rows if len(reduction.stage.reduce) > 1 else 1


def cost(reduction: Reduction, roles: Roles, machine: Machine, tiling: Tiling) -> float:
    """Return the estimated cycles for one point of the outer axes."""
    terms = reduction.size(reduction.stage.reduce)
    total = 0.0
    bodies = list(
        itertools.product(
            spans(_extent(reduction, roles.rows), tiling.rows),
            spans(_extent(reduction, roles.lines), tiling.lines),
            spans(reduction.size(roles.columns), tiling.width),
        )
    )
    for rows, lines, columns in bodies:
        found = pieces(columns.size, machine.lanes)
        across = lines.size * sum(max(0.5, piece.lanes / machine.lanes) for piece in found)
        work, loads = rows.size * across, across + rows.size / 2
        step = max(work, loads, LATENCY) + loads / 8
        total += rows.count * lines.count * columns.count * (terms * step + 10 + 3 * work)
    return total * (1 + 0.015 * len(bodies))  # each one is compiled


def copying(reduction: Reduction) -> float:
    """Return the estimated cycles of the stages before the reduction."""
    return sum(CYCLES_PER_COPY * prod(stage.extents.values()) for stage in reduction.before)


def _unroll(reduction: Reduction) -> int:
    """Return the terms of a short innermost loop: its control would cost as much as its arithmetic."""
    terms = reduction.extents[reduction.stage.reduce[-1]] if reduction.stage.reduce else 1
    return terms if terms <= SHORTEST_LOOP else 1


def _extent(reduction: Reduction, axis: Any) -> int:
    return 1 if axis is None else reduction.extents[axis]


def _sizes(reduction: Reduction, axis: Any, most: int) -> range:
    return range(1, 1 + min(most, _extent(reduction, axis)))


def _read_ahead(reduction: Reduction, roles: Roles) -> Any:
    """Return the rows' operand if it is too large to be in the cache when the kernel starts, or None."""
    for load in reduction.operands:
        used = variables_in(*load.indices)
        axes = [axis for axis in used if axis in reduction.extents]
        walks = any(axis in used for axis in roles.columns)
        if roles.rows in used and not walks and reduction.size(axes) * 4 > COLD:
            return load
    return None


def _rows_outside(reduction: Reduction, roles: Roles) -> bool:
    """Tell whether to keep the rows' operands close while the columns' stream by."""
    if roles.rows is None:
        return False
    sizes = {True: 0, False: 0}
    for load in reduction.operands:
        axes = [axis for axis in variables_in(*load.indices) if axis in reduction.extents]
        of_rows = any(axis.same_as(roles.rows) for axis in axes)
        sizes[of_rows] += 4 * reduction.size(axes)
    need(sizes[True], "rows that no operand has")
    return sizes[True] > NEAR_CACHE
