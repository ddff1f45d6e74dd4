"""Streams a matrix through its product with a vector: all outputs advance together, some terms at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import ir
from mutatenn_backends._schedules.cpu._access import stride
from mutatenn_backends._schedules.cpu._emit import loop, rebuild, sequence
from mutatenn_backends._schedules.cpu._machine import Machine
from mutatenn_backends._schedules.cpu._map import emit_row
from mutatenn_backends._schedules.cpu._prepare import read_reduction
from mutatenn_backends._schedules.cpu._rule import rule
from mutatenn_backends._schedules.cpu._stages import need, replace, simple

if TYPE_CHECKING:
    from mutatenn_backends._schedules.cpu._prepare import Reduction

SMALLEST = 64 << 10  # elements of a matrix; smaller ones stay in the cache, whatever the order
TERMS = (8, 4, 2, 1)  # added to an output while it is in a register
MOST_OUTPUTS = 8192  # that stay close while the matrix passes


@rule
def stream_products(function: Any, target: Any) -> Any:
    """Return the function with the reduction outside the loop over outputs; each keeps its order of terms."""
    reduction = read_reduction(function)
    need(len(reduction.axes) == len(reduction.stage.reduce) == 1 and not reduction.before, "no plain product")
    (output,), (term,) = reduction.axes, reduction.stage.reduce
    size = reduction.extents[output] * reduction.extents[term]
    need(size >= SMALLEST and reduction.extents[output] <= MOST_OUTPUTS, "not a matrix that passes by")
    need(all(stride(load, output, reduction.extents) in (0, 1) for load in reduction.operands), "across")
    return _emit(reduction, output, term, Machine.of(target).lanes)


def _emit(reduction: Reduction, output: Any, term: Any, lanes: int) -> Any:
    stage, final = reduction.stage, reduction.final
    extent, terms = reduction.extents[output], reduction.extents[term]
    at_once = next(count for count in TERMS if terms % count == 0)
    sums = ir.tirx.decl_buffer([extent], stage.buffer.ty.dtype, "sums")

    def value(expr: Any, place: Any, more: dict[Any, Any]) -> Any:
        own = ir.tirx.BufferLoad(sums, [simple(place)])
        return replace(expr, {output: place, **more}, {stage.buffer: lambda _: own})

    def start(place: Any) -> Any:
        return ir.tirx.BufferStore(sums, value(stage.init, place, {}), [simple(place)])

    def add(block: Any, place: Any) -> Any:
        def one(k: Any) -> Any:
            return ir.tirx.BufferStore(
                sums, value(stage.value, place, {term: block * at_once + k}), [simple(place)]
            )

        return sequence(one(ir.tirx.IntImm("int64", k)) for k in range(at_once))

    def finish(place: Any) -> Any:
        indices = [simple(replace(index, {output: place})) for index in final.indices]
        return ir.tirx.BufferStore(final.buffer, value(final.value, place, {}), indices)

    passes = loop("block", terms // at_once, lambda block: emit_row(extent, lanes, lambda p: add(block, p)))
    body = sequence([emit_row(extent, lanes, start), passes, emit_row(extent, lanes, finish)])
    return rebuild(reduction.function, body, [sums])
