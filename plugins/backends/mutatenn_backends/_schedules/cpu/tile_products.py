"""Tiles convolutions and matrix products: outputs that share an operand are computed side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn_backends._schedules.cpu._access import fused_axes
from mutatenn_backends._schedules.cpu._contract import Roles, Tiling, emit_reduction
from mutatenn_backends._schedules.cpu._cost import candidates, copying, cost
from mutatenn_backends._schedules.cpu._machine import Machine
from mutatenn_backends._schedules.cpu._prepare import (
    Reduction,
    align_columns,
    flatten_columns,
    read_reduction,
)
from mutatenn_backends._schedules.cpu._rule import rule
from mutatenn_backends._schedules.cpu._stages import NotApplicableError, need, variables_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Ways to lay out the operands: as they are where they walk along the last axis, or copied so that a plane of
# outputs is one row. The second pays where rows fill vectors badly.
LAYOUTS: tuple[Callable[[Reduction], Reduction], ...] = (align_columns, flatten_columns)
WIDE = 64  # columns; narrower tiles take several lines


@rule
def tile_products(function: Any, target: Any) -> Any:
    """Return the function tiled over a row axis and the last axes, as is estimated best."""
    machine = Machine.of(target)
    plain = read_reduction(function)
    best = min(plans(plain, machine), key=lambda plan: plan[0], default=None)
    need(best is not None, "no axis that shares an operand")
    return emit_reduction(*best[1:])  # type: ignore[index]


def plans(plain: Reduction, machine: Machine) -> Iterator[tuple[float, Reduction, Roles, Tiling]]:
    """Yield every tiling of every layout, with its estimated cycles."""
    for layout in LAYOUTS:
        try:
            reduction = layout(plain)
        except NotApplicableError:
            continue
        roles = _roles(reduction)
        if roles is None:
            continue
        repeated = reduction.size(roles.others(reduction.axes))
        for tiling in candidates(reduction, roles, machine):
            cycles = cost(reduction, roles, machine, tiling)
            yield repeated * cycles + copying(reduction), reduction, roles, tiling


def _roles(reduction: Reduction) -> Roles | None:
    stage, final = reduction.stage, reduction.final
    values = [stage.value, stage.init, final.value]
    columns = fused_axes(reduction.axes, reduction.extents, values, [final.indices], reduction.extents)
    rows = _row_axis(reduction, columns)
    if rows is None:
        return None
    others = Roles(columns, rows).others(reduction.axes)
    return Roles(columns, rows, others[-1] if others and reduction.size(columns) < WIDE else None)


def _row_axis(reduction: Reduction, columns: Sequence[Any]) -> Any:
    """Return the longest other axis that the operands walking along the columns do not depend on."""
    walking = [load for load in reduction.operands if set(columns) & variables_in(*load.indices)]
    used = variables_in(*(index for load in walking for index in load.indices))
    free = [axis for axis in Roles(tuple(columns)).others(reduction.axes) if axis not in used]
    return max(free, key=lambda axis: reduction.extents[axis], default=None)
