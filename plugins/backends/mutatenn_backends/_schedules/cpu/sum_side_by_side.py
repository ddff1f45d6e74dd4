"""Computes reductions along memory several at a time: products with a vector, global pooling."""

from __future__ import annotations

from typing import Any

from mutatenn_backends._schedules.cpu._contract import Roles, Tiling, emit_reduction
from mutatenn_backends._schedules.cpu._prepare import read_reduction, split_axis
from mutatenn_backends._schedules.cpu._rule import rule

MOST = 12  # chains of additions: as many as hide the latency of one
SIDE_BY_SIDE = range(MOST, 3, -1)


@rule
def sum_side_by_side(function: Any, target: Any) -> Any:
    """Return the function with several outputs in flight, each summed in its own order, one by one.

    Outputs in flight are far apart: LLVM would make neighbours one vector, and gather its operands.
    """
    del target
    reduction = read_reduction(function)
    extent = reduction.extents[reduction.axes[-1]]
    chains = next((count for count in SIDE_BY_SIDE if extent % count == 0 and extent > count), None)
    if chains is None:
        return emit_reduction(reduction, Roles((), reduction.axes[-1]), Tiling(min(extent, MOST), 1, 1))
    reduction = split_axis(reduction, reduction.axes[-1], extent // chains)
    return emit_reduction(reduction, Roles((), reduction.axes[-2]), Tiling(chains, 1, 1))
