"""Computes kernels without reductions in one pass: elementwise chains, concatenation, transposes, padding."""

from __future__ import annotations

from typing import Any

from mutatenn_backends._schedules.cpu._emit import rebuild
from mutatenn_backends._schedules.cpu._machine import Machine
from mutatenn_backends._schedules.cpu._map import emit_map
from mutatenn_backends._schedules.cpu._rule import rule
from mutatenn_backends._schedules.cpu._stages import inline, need, read_nest


@rule
def map_elements(function: Any, target: Any) -> Any:
    """Return the function with all stages in one, its guards decided box by box, its rows in vectors."""
    nest = read_nest(function)
    need(not any(stage.reduce for stage in nest.stages), "a reduction")
    (stage,) = inline(nest.stages, nest.stages[:-1])
    return rebuild(function, emit_map(stage, Machine.of(target).lanes), [])
