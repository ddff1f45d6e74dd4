"""Emits a reduction tile by tile: outputs stay in registers from the first term to the finished result.

Each output adds up its terms in the order of the unscheduled kernel.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import ir
from mutatenn_backends._schedules.cpu._emit import loop, nest, rebuild, sequence
from mutatenn_backends._schedules.cpu._machine import Piece, Span, pieces, spans
from mutatenn_backends._schedules.cpu._map import emit_map, unfuse
from mutatenn_backends._schedules.cpu._stages import Stage, loads_in, replace, simple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mutatenn_backends._schedules.cpu._prepare import Reduction

    Point = dict[Any, Any]


@attrs.frozen
class Tiling:
    """A register tile: ``rows`` x ``lines`` x ``width`` outputs, the width in vectors of ``lanes``.

    ``rows_outside`` puts the loop over row tiles outside the loops over lines and columns. Reduction loops of
    up to ``unroll`` terms are unrolled.
    """

    rows: int
    width: int
    lanes: int
    lines: int = 1
    rows_outside: bool = False
    unroll: int = 1
    ahead: Any = None


@attrs.frozen(eq=False)
class Roles:
    """What each axis is to the tiles.

    ``columns`` are the last axes, vectorised as if they were one; ``rows`` and ``lines`` are tiled beside
    them where they are not None; all others are looped over, outermost.
    """

    columns: tuple[Any, ...]
    rows: Any = None
    lines: Any = None

    def others(self, axes: Sequence[Any]) -> list[Any]:
        """Return the axes that are not tiled."""
        tiled = [axis for axis in (*self.columns, self.rows, self.lines) if axis is not None]
        return [axis for axis in axes if not any(axis.same_as(each) for each in tiled)]


def emit_reduction(reduction: Reduction, roles: Roles, tiling: Tiling) -> Any:
    """Return the function with its reduction tiled, each stage before it ahead of the loops that share it."""
    outer = roles.others(reduction.axes)
    inner = [stage for stage in reduction.before if _fixed_axes(reduction, stage, outer)]
    early = [stage for stage in reduction.before if stage not in inner]

    def body(point: Point) -> Any:
        made = [_emit_inner(reduction, stage, outer, point, tiling.lanes) for stage in inner]
        return sequence([*made, *_tiles(reduction, roles, tiling, point)])

    loops = nest(outer, reduction.extents, body)
    whole = sequence([*(emit_map(stage, tiling.lanes) for stage in early), loops])
    return rebuild(reduction.function, whole, _buffers(whole, reduction.function))


def _fixed_axes(reduction: Reduction, stage: Stage, outer: Sequence[Any]) -> dict[Any, Any]:
    """Return the axes of an early stage of which an iteration of the outer axes needs one slice."""
    loads = [load for load in reduction.operands if load.source.same_as(stage.buffer)]
    others = (load for other in reduction.before for load in loads_in(other.value))
    fixed: dict[Any, Any] = {}
    if not loads or any(load.source.same_as(stage.buffer) for load in others):
        return fixed
    for place, axis in enumerate(stage.indices):
        for mine in outer:
            same = all(load.indices[place].same_as(mine) for load in loads)
            if same and axis in stage.extents and stage.extents[axis] == reduction.extents[mine]:
                fixed[axis] = mine
    return fixed if len(fixed) == len(outer) else {}


def _emit_inner(reduction: Reduction, stage: Stage, outer: Sequence[Any], point: Point, lanes: int) -> Any:
    fixed = _fixed_axes(reduction, stage, outer)
    return emit_map(stage, lanes, {axis: point[mine] for axis, mine in fixed.items()})


def _tiles(reduction: Reduction, roles: Roles, tiling: Tiling, point: Point) -> list[Any]:
    def extent(axis: Any) -> int:
        return 1 if axis is None else reduction.extents[axis]

    cuts = {
        "rows": spans(extent(roles.rows), tiling.rows),
        "lines": spans(extent(roles.lines), tiling.lines),
        "columns": spans(reduction.size(roles.columns), tiling.width),
    }
    order = ("rows", "lines", "columns") if tiling.rows_outside else ("lines", "columns", "rows")

    def level(depth: int, place: Mapping[str, tuple[Any, int]]) -> list[Any]:
        if depth == len(order):
            return [Tile(reduction, roles, tiling, point, **place).emit()]
        name = order[depth]

        def inner(where: tuple[Any, int]) -> list[Any]:
            return level(depth + 1, {**place, name: where})

        return [_span(name, span, inner) for span in cuts[name]]

    return level(0, {})


def _span(name: str, span: Span, body: Callable[[tuple[Any, int]], list[Any]]) -> Any:
    return loop(name, span.count, lambda var: sequence(body((var * span.size + span.start, span.size))))


def _buffers(body: Any, function: Any) -> list[Any]:
    """Return the buffers that a body writes and that are no parameters."""
    found: dict[Any, None] = {}

    def visit(store: Any) -> None:
        found[store.buffer] = None

    ir.ffi.structural_walk(body, (ir.tirx.BufferStore, visit))
    return [buffer for buffer in found if not any(buffer.same_as(param) for param in function.params)]


@attrs.frozen(eq=False)
class Tile:
    """One register tile; of each tiled axis, where it starts and its size."""

    reduction: Reduction
    roles: Roles
    tiling: Tiling
    point: Point
    rows: tuple[Any, int]
    lines: tuple[Any, int]
    columns: tuple[Any, int]

    def emit(self) -> Any:
        """Return start, reduction and finish."""
        stage, final = self.reduction.stage, self.reduction.final
        cells = self._cells()
        start = [self._update(cell, stage.init, {}) for cell in cells]

        def term(reduced: Point) -> Any:
            updates = [self._update(cell, stage.value, reduced) for cell in cells]
            return sequence([*self._ahead(reduced), *updates])

        terms = self._terms(term)
        return sequence([*start, terms, *(self._finish(cell, final) for cell in cells)])

    def _cells(self) -> list[Cell]:
        """Return the tile's vectors, those of one row and line in one local buffer."""
        runs = _runs(pieces(self.columns[1], self.tiling.lanes))
        width = sum(count * lanes for _, count, lanes in runs)
        dtype = self.reduction.stage.buffer.ty.dtype
        cells = []
        for row, line in itertools.product(range(self.rows[1]), range(self.lines[1])):
            # One small buffer each: TVM takes those of a kilobyte and more from the heap, not from registers.
            sums, offset = ir.tirx.decl_buffer([width], dtype, f"sums{row}_{line}", scope="local"), 0
            for first, count, lanes in runs:
                cells.append(Cell(sums, offset, row, line, first, count, lanes))
                offset += count * lanes
        return cells

    def _ahead(self, reduced: Point) -> list[Any]:
        """Return prefetches of what the next rows read: one line of one of them, in turn.

        Rows are too short, and too many at a time, for the processor to see them coming.
        """
        load = self.tiling.ahead
        if load is None:
            return []
        place: Any = ir.tirx.IntImm("int64", 0)
        for axis in self.reduction.stage.reduce:
            place = place * self.reduction.extents[axis] + reduced[axis]
        size = ir.tirx.IntImm("int64", self.rows[1])
        row = self.rows[0] + size + ir.tirx.FloorMod(place, size)
        lines = {} if self.roles.lines is None else {self.roles.lines: self.lines[0]}
        there = replace(load, {**self.point, **reduced, **lines, self.roles.rows: row})
        hint = [ir.tirx.IntImm("int32", flag) for flag in (0, 3, 1)]  # to read, to keep, data
        call = ir.tirx.call_llvm_intrin("void", "llvm.prefetch", ir.tirx.address_of(there), *hint)
        return [ir.tirx.Evaluate(call)]

    def _terms(self, body: Callable[[Point], Any]) -> Any:
        axes, extents = self.reduction.stage.reduce, self.reduction.extents
        kinds, terms = {}, 1
        for axis in reversed(axes):
            terms *= extents[axis]
            kinds[axis] = "UNROLLED" if terms <= self.tiling.unroll else "SERIAL"
        return nest(axes, extents, body, kinds)

    def _update(self, cell: Cell, value: Any, reduced: Point) -> Any:
        def store(step: Any) -> Any:
            place = [step + cell.offset]
            return ir.tirx.BufferStore(cell.sums, self._value(value, cell, step, reduced), place)

        return cell.loops(store)

    def _finish(self, cell: Cell, final: Stage) -> Any:
        def store(step: Any) -> Any:
            point = self._point(cell, step)
            indices = [simple(replace(index, point)) for index in final.indices]
            return ir.tirx.BufferStore(final.buffer, self._value(final.value, cell, step, {}), indices)

        return cell.loops(store)

    def _point(self, cell: Cell, step: Any) -> Point:
        position = self.columns[0] + step + cell.first
        point = {**self.point, **unfuse(self.roles.columns, self.reduction.extents, position)}
        if self.roles.rows is not None:
            point[self.roles.rows] = self.rows[0] + cell.row
        if self.roles.lines is not None:
            point[self.roles.lines] = self.lines[0] + cell.line
        return point

    def _value(self, value: Any, cell: Cell, step: Any, reduced: Point) -> Any:
        own = ir.tirx.BufferLoad(cell.sums, [step + cell.offset])
        loads = {self.reduction.stage.buffer: lambda _: own}
        return replace(value, {**self._point(cell, step), **reduced}, loads)


@attrs.frozen(eq=False)
class Cell:
    """``count`` vectors of ``lanes`` on one row and line, from column ``first`` of the tile, in ``sums``."""

    sums: Any
    offset: int
    row: int
    line: int
    first: int
    count: int
    lanes: int

    def loops(self, body: Callable[[Any], Any]) -> Any:
        """Return the loops over the elements; the body is called with the element's number."""

        def vector(j: Any) -> Any:
            return loop("v", self.lanes, lambda v: body(j * self.lanes + v), "VECTORIZED")

        return loop("j", self.count, vector, "UNROLLED")


def _runs(found: Sequence[Piece]) -> list[tuple[int, int, int]]:
    """Join neighbouring pieces of equal lanes: (first element, number of pieces, lanes)."""
    runs: list[tuple[int, int, int]] = []
    for piece in found:
        if runs and runs[-1][2] == piece.lanes and runs[-1][0] + runs[-1][1] * piece.lanes == piece.start:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, piece.lanes)
        else:
            runs.append((piece.start, 1, piece.lanes))
    return runs
