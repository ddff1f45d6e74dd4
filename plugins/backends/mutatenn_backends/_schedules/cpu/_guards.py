"""Cuts a guarded stage into boxes, in each of which every guard has one known answer.

Guards are evaluated, not matched: a mutated guard is cut where it changes its mind, wherever that is.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import ir
from mutatenn_backends._schedules.cpu._access import evaluate
from mutatenn_backends._schedules.cpu._stages import Stage, is_guarded, is_rounded, need, variables_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_BOXES = 64


@attrs.frozen(eq=False)
class Box:
    """A part of a stage's points, ``start`` and ``extent`` per axis, and the value there."""

    start: Mapping[Any, int]
    extent: Mapping[Any, int]
    value: Any


def boxes(stage: Stage) -> list[Box]:
    """Return boxes that cover a stage; one box with the value as it is where nothing is guarded.

    Raises NotApplicableError for guards that do not follow the axes.
    """
    guards = _guards(stage.value)
    cuts = {axis: _cuts(stage, axis, guards) for axis in stage.axes}
    count = int(np.prod([len(each) for each in cuts.values()], dtype=np.int64))
    need(count <= MOST_BOXES, f"{count} boxes")
    found: list[Box] = []
    for chosen in itertools.product(*(_intervals(cuts[axis], stage.extents[axis]) for axis in stage.axes)):
        start = {axis: low for axis, (low, _) in zip(stage.axes, chosen, strict=True)}
        extent = {axis: high - low for axis, (low, high) in zip(stage.axes, chosen, strict=True)}
        _append(found, Box(start, extent, _decide(stage.value, start)), stage.axes)
    return found


def _append(found: list[Box], box: Box, axes: Sequence[Any]) -> None:
    """Add a box, joined to the one before where they are neighbours on the last axis with one value."""
    before = found[-1] if found else None
    if (
        before is not None
        and all(box.start[axis] == before.start[axis] for axis in axes[:-1])
        and ir.ffi.structural_equal(before.value, box.value)
    ):
        longer = before.extent[axes[-1]] + box.extent[axes[-1]]
        found[-1] = Box(before.start, {**before.extent, axes[-1]: longer}, box.value)
    else:
        found.append(box)


def _guards(value: Any) -> list[Any]:
    found: list[Any] = []

    def visit(call: Any) -> None:
        if is_guarded(call):
            found.append(call.args[0])

    ir.ffi.structural_walk(value, (ir.tvm.ir.Call, visit))
    return found


def _cuts(stage: Stage, axis: Any, guards: list[Any]) -> list[int]:
    """Return where a term of a guard changes along an axis, 0 included."""
    points = np.arange(stage.extents[axis], dtype=np.int64)
    cuts = {0}
    for term in itertools.chain.from_iterable(_terms(guard) for guard in guards):
        axes = variables_in(term)
        need(len(axes) <= 1, "a guard across axes")
        if axis in axes:
            answers = np.broadcast_to(evaluate(term, {axis: points}), points.shape)
            cuts |= set((np.flatnonzero(answers[1:] != answers[:-1]) + 1).tolist())
    return sorted(cuts)


def _terms(guard: Any) -> Iterator[Any]:
    if isinstance(guard, (ir.tirx.And, ir.tirx.Or)):
        yield from _terms(guard.a)
        yield from _terms(guard.b)
    elif isinstance(guard, ir.tirx.Not):
        yield from _terms(guard.a)
    else:
        yield guard


def _intervals(cuts: list[int], extent: int) -> list[tuple[int, int]]:
    return list(zip(cuts, [*cuts[1:], extent], strict=True))


def _decide(value: Any, corner: Mapping[Any, int]) -> Any:
    def call(node: Any) -> Any:
        if is_rounded(node) and isinstance(node.args[1], ir.tvm.ir.TensorLoad):
            return node.args[1]
        if not is_guarded(node):
            return node
        return node.args[1] if bool(evaluate(node.args[0], corner)) else node.args[2]

    return ir.ffi.structural_map(value, (ir.tvm.ir.Call, call), order="post")
