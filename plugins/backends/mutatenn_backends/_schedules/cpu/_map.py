"""Emits a stage that computes every element by itself: boxes without guards, long rows, whole vectors."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from mutatenn import ir
from mutatenn_backends._schedules.cpu._access import fused_axes, stride
from mutatenn_backends._schedules.cpu._emit import loop, nest, sequence
from mutatenn_backends._schedules.cpu._guards import Box, boxes
from mutatenn_backends._schedules.cpu._stages import Stage, loads_in, need, replace, simple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
FLATTENED = 3  # loops


def emit_map(stage: Stage, lanes: int, fixed: Mapping[Any, Any] | None = None) -> Any:
    """Return the loops of a stage without reduction; ``fixed`` axes have a value already and no guard."""
    cut = boxes(stage)
    need(
        all(box.extent[axis] == stage.extents[axis] for box in cut for axis in fixed or {}),
        "a fixed axis cut",
    )
    outer = _uncut_axes(stage, cut) if len(cut) > 1 else []
    outer = [axis for axis in outer if axis not in (fixed or {})]

    def body(point: dict[Any, Any]) -> Any:
        return sequence(_emit_box(stage, box, lanes, {**(fixed or {}), **point}) for box in cut)

    return nest(outer, stage.extents, body)


def _uncut_axes(stage: Stage, cut: Sequence[Box]) -> list[Any]:
    """Return the leading axes that every box covers whole: loops around all of the boxes."""
    found = []
    for axis in stage.axes[:-1]:
        if any(box.extent[axis] != stage.extents[axis] for box in cut):
            break
        found.append(axis)
    return found


def _emit_box(stage: Stage, box: Box, lanes: int, fixed: Mapping[Any, Any]) -> Any:
    axes = [axis for axis in stage.axes if axis not in fixed]
    row = fused_axes(axes, stage.extents, [box.value], [stage.indices], box.extent)
    size = 1
    for axis in row:
        size *= box.extent[axis]

    def at(point: Mapping[Any, Any]) -> Any:
        moved = {axis: simple(var + box.start[axis]) for axis, var in point.items()}
        indices = [simple(replace(index, {**fixed, **moved})) for index in stage.indices]
        return ir.tirx.BufferStore(stage.buffer, replace(box.value, {**fixed, **moved}), indices)

    def body(point: dict[Any, Any]) -> Any:
        if not axes:
            return at({})
        wide = 1 if size > lanes and _scatters(stage, box, row[-1]) else lanes
        return emit_row(size, wide, lambda place: at({**point, **unfuse(row, box.extent, place)}))

    return _nest_flat([axis for axis in axes if axis not in row], box.extent, body)


def _nest_flat(axes: Sequence[Any], extents: Mapping[Any, int], body: Callable[[dict[Any, Any]], Any]) -> Any:
    """Return loops over axes, all but the last as one: LLVM would unroll short ones into each other."""
    if len(axes) < FLATTENED:
        return nest(axes, extents, body)
    size = prod(extents[axis] for axis in axes[:-1])
    last = axes[-1:]

    def level(position: Any) -> Any:
        point = unfuse(axes[:-1], extents, position)
        return nest(last, extents, lambda inner: body({**point, **inner}))

    return loop("outer", size, level)


def _scatters(stage: Stage, box: Box, axis: Any) -> bool:
    """Tell whether a load does not walk along an axis one by one: left to LLVM's own vectoriser."""
    return any(stride(load, axis, stage.extents) not in (0, 1) for load in loads_in(box.value))


def emit_row(size: int, lanes: int, at: Callable[[Any], Any]) -> Any:
    """Return vector loops over a row: whole vectors, then a narrower one per power of two in the rest."""
    whole, rest = divmod(size, lanes)
    statements = []
    if whole:
        statements.append(
            loop("i", whole, lambda i: loop("v", lanes, lambda v: at(i * lanes + v), "VECTORIZED"))
        )
    start = whole * lanes
    while rest:
        width = 1 << (rest.bit_length() - 1)
        statements.append(loop("v", width, _shifted(at, start), "VECTORIZED"))
        start, rest = start + width, rest - width
    return sequence(statements)


def _shifted(at: Callable[[Any], Any], start: int) -> Callable[[Any], Any]:
    return lambda v: at(v + start)


def unfuse(axes: Sequence[Any], extents: Mapping[Any, int], position: Any) -> dict[Any, Any]:
    """Return the axes' values at a position of the one axis they are fused to."""
    point: dict[Any, Any] = {}
    for axis in reversed(axes[1:]):
        extent = ir.tirx.IntImm("int64", extents[axis])
        point[axis] = ir.tirx.FloorMod(position, extent)
        position = ir.tirx.FloorDiv(position, extent)
    return {**point, axes[0]: position} if axes else {}
