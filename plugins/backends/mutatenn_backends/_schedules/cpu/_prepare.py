"""Reads a kernel of one reduction as stages before it, the reduction, and the result computed from it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import ir
from mutatenn_backends._schedules.cpu._access import stride
from mutatenn_backends._schedules.cpu._stages import (
    NotApplicableError,
    Stage,
    inline,
    is_copy,
    loads_in,
    need,
    read_nest,
    replace,
    simple,
    variables_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


FEWEST_USES = 8  # of a packed element, for its copy to pay


@attrs.frozen(eq=False)
class Reduction:
    """A reduction ``stage``, the ``final`` result made of it on the same axes, and stages to run before."""

    function: Any
    before: tuple[Stage, ...]
    stage: Stage
    final: Stage

    @property
    def axes(self) -> tuple[Any, ...]:
        """The spatial axes that the reduction and the result share."""
        return self.stage.axes

    @property
    def extents(self) -> Mapping[Any, int]:
        """The number of points of every axis, reduced ones included."""
        return self.stage.extents

    @property
    def operands(self) -> list[Any]:
        """The loads of the reduction's terms, its own running result left out."""
        return [load for load in loads_in(self.stage.value) if not load.source.same_as(self.stage.buffer)]

    def size(self, axes: Sequence[Any]) -> int:
        """Return the number of points of some axes."""
        product = 1
        for axis in axes:
            product *= self.extents[axis]
        return product


def read_reduction(function: Any) -> Reduction:
    """Read a kernel of one reduction; raises NotApplicableError if it has none or several."""
    nest = read_nest(function)
    places = [n for n, stage in enumerate(nest.stages) if stage.reduce]
    need(len(places) == 1, f"{len(places)} reductions")
    (place,) = places
    stages = inline(nest.stages, nest.stages[place + 1 : -1])
    stages = inline(stages, [stage for stage in stages[:place] if is_copy(stage)])
    place = next(n for n, stage in enumerate(stages) if stage.reduce)
    stage, after = stages[place], stages[place + 1 :]
    need(stage.axes, "a single output")
    final = _on_axes_of(stage, after[0]) if after else _identity(stage)
    before = stages[:place]
    early = {each.buffer for each in before}
    need(not any(load.source in early for load in loads_in(final.value)), "an input used by the result")
    return _split_groups(Reduction(function, before, stage, final))


def _identity(stage: Stage) -> Stage:
    value = ir.tirx.BufferLoad(stage.buffer, stage.indices)
    return attrs.evolve(stage, value=value, init=None, reduce=())


def _on_axes_of(stage: Stage, final: Stage) -> Stage:
    """Return the final stage on the reduction's axes, of which it must read the very element it computes."""
    need(len(final.axes) == len(stage.axes), "axes that the reduction lacks")
    point = dict(zip(final.axes, stage.axes, strict=True))
    need(
        all(final.extents[axis] == stage.extents[mine] for axis, mine in point.items()),
        "axes of other extents",
    )
    final = _rename(final, point, stage.extents)
    for load in loads_in(final.value):
        if load.source.same_as(stage.buffer):
            same = all(
                ir.ffi.structural_equal(a, b) for a, b in zip(load.indices, stage.indices, strict=True)
            )
            need(same, "a result that mixes elements")
    return final


def _rename(stage: Stage, point: Mapping[Any, Any], extents: Mapping[Any, int]) -> Stage:
    return attrs.evolve(
        stage,
        indices=tuple(simple(replace(index, point), extents) for index in stage.indices),
        value=replace(stage.value, point, extents=extents),
        init=None if stage.init is None else replace(stage.init, point, extents=extents),
        axes=tuple(variable for axis in stage.axes for variable in _names(point.get(axis, axis))),
        extents=extents,
    )


def _names(expr: Any) -> list[Any]:
    if isinstance(expr, ir.tvm.ir.Var):
        return [expr]
    return [expr.a.a, expr.b]  # run * size + member


def _split_groups(reduction: Reduction) -> Reduction:
    """Split an axis whose groups read different inputs, ``axis // size``, into (group, member)."""
    for load, axis in itertools.product(reduction.operands, reduction.axes):
        size = _group_size(load, axis)
        extent = reduction.extents[axis]
        if size is None or size >= extent or extent % size:
            continue
        return split_axis(reduction, axis, size)
    return reduction


def split_axis(reduction: Reduction, axis: Any, size: int) -> Reduction:
    """Replace an axis by two: which run of ``size`` points, and which point of the run."""
    extent = reduction.extents[axis]
    run, member = (ir.tvm.ir.Var(f"{axis.name}_{part}", axis.ty.dtype) for part in ("run", "member"))
    point = {axis: run * ir.tirx.IntImm(axis.ty.dtype, size) + member}
    extents = {each: points for each, points in reduction.extents.items() if not each.same_as(axis)}
    extents |= {run: extent // size, member: size}
    stage, final = (_rename(each, point, extents) for each in (reduction.stage, reduction.final))
    return attrs.evolve(reduction, stage=stage, final=final)


def _group_size(load: Any, axis: Any) -> int | None:
    found: list[int] = []

    def visit(node: Any) -> None:
        if isinstance(node.a, ir.tvm.ir.Var) and node.a.same_as(axis) and isinstance(node.b, ir.tirx.IntImm):
            found.append(int(node.b.value))

    for index in load.indices:
        ir.ffi.structural_walk(index, (ir.tirx.FloorDiv, visit))
    return found[0] if found else None


def align_columns(reduction: Reduction) -> Reduction:
    """Have operands that do not walk along the last axis copied so that they do."""
    last = reduction.axes[-1]
    for load in reduction.operands:
        step = stride(load, last, reduction.extents)
        if step in (0, 1):
            continue
        if step is not None and _slides(reduction, load):
            reduction = deinterleave(reduction, load, step)
        else:
            need(_uses(reduction, load) >= FEWEST_USES, "an operand that is read once, across")
            reduction = pack(reduction, load, last)
    return reduction


def flatten_columns(reduction: Reduction) -> Reduction:
    """Have operands that walk along the last axis copied so that the last two axes walk them as one."""
    need(len(reduction.axes) > 1, "no plane")
    *_, line, last = reduction.axes
    walking = [load for load in reduction.operands if last in variables_in(*load.indices)]
    need(any(line in variables_in(*load.indices) for load in walking), "no plane")
    for load in walking:
        need(_uses(reduction, load) >= FEWEST_USES, "an operand that is read once")
        reduction = pack(reduction, load, last)
    return reduction


def _slides(reduction: Reduction, load: Any) -> bool:
    """Tell whether a load steps over its last dimension, from another element for every term."""
    last = reduction.axes[-1]
    inside = variables_in(load.indices[-1])
    elsewhere = variables_in(*load.indices[:-1])
    return last in inside and last not in elsewhere and len(inside) > 1


def _uses(reduction: Reduction, load: Any) -> float:
    used = [axis for axis in variables_in(*load.indices) if axis in reduction.extents]
    return reduction.size(reduction.axes) * reduction.size(reduction.stage.reduce) / reduction.size(used)


def pack(reduction: Reduction, load: Any, last: Any) -> Reduction:
    """Have a load's elements copied, before the reduction, into the order in which it reads them.

    The ``last`` axis becomes the innermost one.
    """
    used = variables_in(*load.indices)
    axes = [
        axis for axis in (*reduction.stage.reduce, *reduction.axes) if axis in used and not axis.same_as(last)
    ]
    axes.append(last)
    shape = [reduction.extents[axis] for axis in axes]
    packed = ir.tirx.decl_buffer(shape, load.source.ty.dtype, "packed")
    own = {axis: ir.tvm.ir.Var(axis.name, axis.ty.dtype) for axis in axes}
    names = tuple(own.values())
    copy = Stage(packed, names, replace(load, own), None, names, (), dict(zip(names, shape, strict=True)))
    value = _swap(reduction.stage.value, load, ir.tirx.BufferLoad(packed, axes))
    stage = attrs.evolve(reduction.stage, value=value)
    return attrs.evolve(reduction, before=(*reduction.before, copy), stage=stage)


def deinterleave(reduction: Reduction, load: Any, step: int) -> Reduction:
    """Have a buffer's last dimension stored phase by phase: every ``step``-th element side by side."""
    source = load.source
    makers = [stage for stage in reduction.before if stage.buffer.same_as(source)]
    stages = makers or [_copy_of(source)]
    others = (load for stage in reduction.before for load in loads_in(stage.value))
    need(not any(load.source.same_as(source) for load in others), "a buffer with other readers")
    *shape, width = (int(size) for size in source.ty.shape)
    phased = ir.tirx.decl_buffer([*shape, step, -(-width // step)], source.ty.dtype, f"{source.name}_phases")
    phases = [_phase(stages[0], phased, phase, step) for phase in range(min(step, width))]

    def at(indices: Sequence[Any]) -> Any:
        divisor = ir.tirx.IntImm(indices[-1].ty.dtype, step)
        parts = (ir.tirx.FloorMod(indices[-1], divisor), ir.tirx.FloorDiv(indices[-1], divisor))
        return ir.tirx.BufferLoad(
            phased, [*indices[:-1], *(simple(part, reduction.extents) for part in parts)]
        )

    value = replace(reduction.stage.value, {}, {source: at})
    before = [stage for stage in reduction.before if stage not in makers]
    stage = attrs.evolve(reduction.stage, value=value)
    return attrs.evolve(reduction, before=(*before, *phases), stage=stage)


def _copy_of(source: Any) -> Stage:
    shape = [int(size) for size in source.ty.shape]
    axes = tuple(
        ir.tvm.ir.Var(f"a{n}", "int64") if size > 1 else ir.tirx.IntImm("int64", 0)
        for n, size in enumerate(shape)
    )
    extents = {axis: size for axis, size in zip(axes, shape, strict=True) if size > 1}
    return Stage(source, axes, ir.tirx.BufferLoad(source, axes), None, tuple(extents), (), extents)


def _phase(stage: Stage, phased: Any, phase: int, step: int) -> Stage:
    """Return the part of a stage that computes every ``step``-th element from ``phase`` on."""
    axis = stage.indices[-1]
    need(axis in stage.extents, "nothing to interleave")
    mine = ir.tvm.ir.Var(axis.name, axis.ty.dtype)
    extents = {(mine if each.same_as(axis) else each): size for each, size in stage.extents.items()}
    extents[mine] = -(-(stage.extents[axis] - phase) // step)
    point = {axis: mine * ir.tirx.IntImm(axis.ty.dtype, step) + ir.tirx.IntImm(axis.ty.dtype, phase)}
    return Stage(
        phased,
        (*stage.indices[:-1], ir.tirx.IntImm(axis.ty.dtype, phase), mine),
        replace(stage.value, point, extents=extents),
        None,
        (*stage.axes[:-1], mine),
        (),
        extents,
    )


def _swap(value: Any, load: Any, new: Any) -> Any:
    def swap(node: Any) -> Any:
        return new if ir.ffi.structural_equal(node, load) else node

    swapped = ir.ffi.structural_map(value, (ir.tvm.ir.TensorLoad, swap))
    if swapped.same_as(value):
        raise NotApplicableError("a load that is not there")
    return swapped
