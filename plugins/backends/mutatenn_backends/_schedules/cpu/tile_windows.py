"""Tiles depthwise convolutions and pooling: windows that slide over planes, one plane at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn_backends._schedules.cpu._contract import Roles, Tiling, emit_reduction
from mutatenn_backends._schedules.cpu._machine import Machine, pieces, spans
from mutatenn_backends._schedules.cpu._prepare import align_columns, read_reduction
from mutatenn_backends._schedules.cpu._rule import rule
from mutatenn_backends._schedules.cpu._stages import need

if TYPE_CHECKING:
    from mutatenn_backends._schedules.cpu._prepare import Reduction

LARGEST_WINDOW = 49  # terms that are unrolled, so that neighbouring lines share their loads
MOST_STATEMENTS = 300  # of a tile: the compiler's time grows with them


@rule
def tile_windows(function: Any, target: Any) -> Any:
    """Return the function tiled over the last two axes."""
    machine = Machine.of(target)
    reduction = align_columns(read_reduction(function))
    need(reduction.axes and reduction.stage.reduce, "no window")
    need(len(reduction.stage.reduce) <= 2, "more than a window")  # noqa: PLR2004 - height and width
    lines = reduction.axes[-2] if len(reduction.axes) > 1 else None
    roles = Roles(reduction.axes[-1:], None, lines)
    return emit_reduction(reduction, roles, _choose(reduction, roles, machine))


def _choose(reduction: Reduction, roles: Roles, machine: Machine) -> Tiling:
    """Return the tiling that loads and computes least."""
    terms = reduction.size(reduction.stage.reduce)
    width = reduction.size(roles.columns)
    unroll = terms if terms <= LARGEST_WINDOW else 1
    height = reduction.extents[reduction.stage.reduce[0]]
    extent = 1 if roles.lines is None else reduction.extents[roles.lines]
    across = len(pieces(width, machine.lanes))

    def cost(tiling: Tiling) -> float:
        total = 0.0
        for span in spans(extent, tiling.lines):
            shared = (span.size + height - 1) / height if unroll > 1 else span.size
            total += span.count * (terms * (shared + span.size) + 10)
        tiles = spans(width, tiling.width)
        return total * sum(tile.count * (len(pieces(tile.size, machine.lanes)) + 0.25) for tile in tiles)

    found = [
        Tiling(1, min(width, vectors * machine.lanes), machine.lanes, lines, unroll=unroll)
        for lines in range(1, 1 + min(8, extent))
        for vectors in range(1, 1 + min(4, across))
        if lines * vectors <= machine.registers // 2
        and (lines * vectors == 1 or terms * lines * vectors <= MOST_STATEMENTS)
    ]
    return min(found, key=cost)
