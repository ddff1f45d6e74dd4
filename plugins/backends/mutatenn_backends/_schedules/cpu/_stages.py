"""Reads a schedulable PrimFunc as a list of stages, each of which computes one buffer element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import ir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FENCE = "llvm.arithmetic.fence"
SPATIAL, REDUCTION = 0, 2  # IterVar.iter_type


class NotApplicableError(Exception):
    """The kernel does not have the form that the rule asks for."""


def need(condition: object, what: str) -> None:
    """Raise NotApplicableError unless the condition holds."""
    if not condition:
        raise NotApplicableError(what)


@attrs.frozen(eq=False)
class Stage:
    """``buffer[indices] = value`` for every point of ``axes``, folded over ``reduce`` from ``init``.

    ``indices`` are distinct axes, or 0 where the buffer's extent is 1: axes of extent 1 have been replaced by
    0 everywhere. ``reduce`` is in loop order; a reduction over one element keeps one axis, and so remains
    what starts from ``init``. A stage that reduces nothing has no ``init``.
    """

    buffer: Any
    indices: tuple[Any, ...]
    value: Any
    init: Any
    axes: tuple[Any, ...]
    reduce: tuple[Any, ...]
    extents: Mapping[Any, int]

    def extent(self, axis: Any) -> int:
        """Return an axis' number of points."""
        return self.extents[axis]


@attrs.frozen(eq=False)
class Nest:
    """A kernel: its function and its stages in order; the last one computes the result."""

    function: Any
    stages: tuple[Stage, ...]

    @property
    def last(self) -> Stage:
        """The stage that computes the result."""
        return self.stages[-1]


def read_nest(function: Any) -> Nest:
    """Return the stages of a PrimFunc; raises NotApplicableError if it is not a plain list of loop nests."""
    root = function.body
    need(isinstance(root, ir.s_tir.SBlockRealize), "no root block")
    need(not root.block.match_buffers and not root.block.annotations, "a root block with extras")
    body = root.block.body
    nests = list(body.seq) if isinstance(body, ir.tirx.SeqStmt) else [body]
    stages = tuple(_read_stage(each) for each in nests)
    need(len({stage.buffer for stage in stages}) == len(stages), "a buffer written twice")
    local = set(root.block.alloc_buffers)
    need(all(stage.buffer in local for stage in stages[:-1]), "more than one result")
    need(stages[-1].buffer not in local, "no result")
    return Nest(function, stages)


def _read_stage(statement: Any) -> Stage:
    loops: dict[Any, int] = {}
    while isinstance(statement, ir.tirx.For):
        need(statement.kind == ir.tirx.ForKind.SERIAL and integer(statement.min) == 0, "a loop with extras")
        loops[statement.loop_var] = integer(statement.extent)
        statement = statement.body
    need(isinstance(statement, ir.s_tir.SBlockRealize), "no block in the loops")
    block = statement.block
    need(
        integer(statement.predicate) == 1 and not block.alloc_buffers and not block.match_buffers,
        "a predicate",
    )
    need(len(loops) == len(statement.iter_values), "loops and axes differ")
    need(set(loops) == set(statement.iter_values), "axes that are not loops")
    need(isinstance(block.body, ir.tirx.BufferStore), "no single store")
    extents, kinds = {}, {}
    axis_of = dict(zip(statement.iter_values, block.iter_vars, strict=True))
    for loop, extent in loops.items():
        axis = axis_of[loop]
        need(integer(axis.dom.min) == 0 and integer(axis.dom.extent) == extent, "a domain unlike its loop")
        extents[axis.var], kinds[axis.var] = extent, axis.iter_type
    return _make_stage(block, extents, kinds)


def _make_stage(block: Any, extents: dict[Any, int], kinds: dict[Any, int]) -> Stage:
    store, init = block.body, block.init
    need(set(kinds.values()) <= {SPATIAL, REDUCTION}, "an axis of another kind")
    spatial = [axis for axis in extents if kinds[axis] == SPATIAL]
    reduce = tuple(axis for axis in extents if kinds[axis] == REDUCTION)
    need(len(store.indices) == len(spatial) == len({*store.indices} & {*spatial}), "a store across the axes")
    shape = [integer(extent) for extent in store.buffer.ty.shape]
    need(shape == [extents[axis] for axis in store.indices], "a result computed in part")
    need((init is None) == (not reduce), "a start without a reduction, or the other way round")
    need(init is None or _stores_alike(init, store), "a start elsewhere")
    need(all(str(axis.ty.dtype) == "int64" for axis in extents), "axes of another type")
    need(
        not any(_reads_elsewhere(load, store, bool(reduce)) for load in loads_in(store.value)),
        "a result in use",
    )
    need(
        not any(load.source.same_as(store.buffer) for load in loads_in(init and init.value)), "a start in use"
    )
    kept = reduce[:1] if all(extents[axis] == 1 for axis in reduce) else ()
    units = {axis: zero(axis) for axis, extent in extents.items() if extent == 1 and axis not in kept}
    rest = {axis: extent for axis, extent in extents.items() if axis not in units}
    indices = tuple(units.get(axis, axis) for axis in store.indices)
    return Stage(
        store.buffer,
        indices,
        replace(store.value, units, extents=rest),
        None if init is None else replace(init.value, units, extents=rest),
        tuple(axis for axis in store.indices if axis not in units),
        tuple(axis for axis in reduce if axis not in units),
        rest,
    )


def _reads_elsewhere(load: Any, store: Any, reduces: bool) -> bool:
    """Tell whether a load reads the stage's own buffer but for the element that a reduction updates."""
    if not load.source.same_as(store.buffer):
        return False
    return not (reduces and all(a.same_as(b) for a, b in zip(load.indices, store.indices, strict=True)))


def _stores_alike(one: Any, other: Any) -> bool:
    return (
        isinstance(one, ir.tirx.BufferStore)
        and one.buffer.same_as(other.buffer)
        and all(a.same_as(b) for a, b in zip(one.indices, other.indices, strict=True))
    )


def integer(expr: Any) -> int:
    """Return a literal's value; raises NotApplicableError for anything else."""
    need(isinstance(expr, ir.tirx.IntImm), "an extent that is not a number")
    return int(expr.value)


def zero(axis: Any) -> Any:
    """Return 0 in an axis' own type."""
    return ir.tirx.IntImm(axis.ty.dtype, 0)


def replace(
    expr: Any,
    values: Mapping[Any, Any],
    loads: Mapping[Any, Any] | None = None,
    extents: Mapping[Any, int] | None = None,
) -> Any:
    """Return an expression with variables replaced, and the indices of its loads simplified.

    ``loads`` maps buffers to functions that take a load's new indices and return the expression in its place;
    ``extents`` gives the ranges, from 0, of variables that the simplifier may rely on.
    """
    analyzer = _analyzer(extents or {})

    def variable(var: Any) -> Any:
        return values.get(var, var)

    def load(node: Any) -> Any:
        indices = [analyzer.simplify(index) for index in node.indices]
        if loads is not None and node.source in loads:
            return loads[node.source](indices)
        return ir.tirx.BufferLoad(node.source, indices)

    return ir.ffi.structural_map(expr, [(ir.tvm.ir.TensorLoad, load), (ir.tvm.ir.Var, variable)])


def _analyzer(extents: Mapping[Any, int]) -> Any:
    analyzer = ir.tvm.sym.Analyzer()
    for var, extent in extents.items():
        analyzer.bind(var, ir.tvm.ir.Range(0, extent))
    return analyzer


def simple(index: Any, extents: Mapping[Any, int] | None = None) -> Any:
    """Return an index in its simplest form."""
    return _analyzer(extents or {}).simplify(index)


def loads_in(*exprs: Any) -> Iterator[Any]:
    """Yield the loads of some expressions."""
    for expr in exprs:
        found: list[Any] = []
        if expr is not None:
            ir.ffi.structural_walk(expr, (ir.tvm.ir.TensorLoad, found.append))
        yield from found


def variables_in(*exprs: Any) -> set[Any]:
    """Return the variables of some expressions, buffers left out."""
    found: set[Any] = set()

    def visit(var: Any) -> None:
        if not isinstance(var.ty, ir.tirx.BufferType):
            found.add(var)

    for expr in exprs:
        if expr is not None:
            ir.ffi.structural_walk(expr, (ir.tvm.ir.Var, visit))
    return found


def inline(stages: Sequence[Stage], chosen: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages without the chosen ones, which are computed where they were read."""
    table: dict[Any, Any] = {}
    kept = []
    for stage in stages:
        need(stage.reduce == () or stage not in chosen, "a reduction cannot be inlined")
        value, init = (
            None if e is None else replace(e, {}, table, stage.extents) for e in (stage.value, stage.init)
        )
        stage = attrs.evolve(stage, value=value, init=init)  # noqa: PLW2901 - the same stage, its inputs inlined
        if any(stage.buffer.same_as(each.buffer) for each in chosen):
            table[stage.buffer] = _value_at(stage)
        else:
            kept.append(stage)
    return tuple(kept)


def _value_at(stage: Stage) -> Any:
    def at(indices: Sequence[Any]) -> Any:
        point = {axis: i for axis, i in zip(stage.indices, indices, strict=True) if axis in stage.extents}
        return rounded(replace(stage.value, point))

    return at


def rounded(value: Any) -> Any:
    """Return a value as it is once it has been in memory: nothing is calculated with how it was made.

    Compilers would round a product and the sum it is added to once, or take ``(x + y) - y`` for ``x``.
    """
    if not str(value.ty.dtype).startswith("float") or isinstance(value, ir.tvm.ir.TensorLoad):
        return value
    return ir.tirx.call_llvm_pure_intrin(value.ty.dtype, FENCE, value)


def is_rounded(expr: Any) -> bool:
    """Tell whether an expression is what :func:`rounded` makes."""
    fence = ir.tvm.target.codegen.llvm_lookup_intrinsic_id(FENCE)
    return getattr(expr.op, "name", "") == "tirx.call_llvm_pure_intrin" and int(expr.args[0].value) == fence


def is_guarded(expr: Any) -> bool:
    """Tell whether an expression is computed only under a condition, and another one otherwise."""
    return getattr(getattr(expr, "op", None), "name", "") in ("prim.if_then_else", "tirx.if_then_else")


def is_copy(stage: Stage) -> bool:
    """Tell whether a stage only moves values."""
    return not stage.reduce and isinstance(stage.value, ir.tvm.ir.TensorLoad)
