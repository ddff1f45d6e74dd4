"""Has TVM's rules for GPUs, which inline stages of a kernel into each other, keep what the stages compute."""

from __future__ import annotations

from typing import Any

from mutatenn import ir
from mutatenn_backends._schedules.cpu._stages import REDUCTION, SPATIAL, rounded
from mutatenn_backends._schedules.gpu._buffers import stored_in


def with_sound_stages(function: Any) -> Any:
    """Return a schedulable PrimFunc whose stages can be inlined into each other.

    What is stored between them is rounded, and a reduction over one element computed in one step: TVM would
    inline what follows such a reduction into its start and into its only step, and so do it twice.
    """
    if not isinstance(function.body, ir.s_tir.SBlockRealize):
        return function
    body = ir.ffi.structural_map(function.body, (ir.s_tir.SBlock, _in_one_step), order="post")
    local = set(body.block.alloc_buffers) - _reduced(body)

    def store(node: Any) -> Any:
        if node.buffer not in local:
            return node
        return ir.tirx.BufferStore(node.buffer, rounded(node.value), node.indices)

    return function.with_body(ir.ffi.structural_map(body, (ir.tirx.BufferStore, store), order="post"))


def _reduced(body: Any) -> set[Any]:
    """Return the buffers that hold reductions."""
    found: set[Any] = set()

    def visit(block: Any) -> None:
        if block.init is not None:
            found.update(stored_in(block.init))

    ir.ffi.structural_walk(body, (ir.s_tir.SBlock, visit))
    return found


def _in_one_step(block: Any) -> Any:
    """Return a block, if it reduces one element, as one that computes its result from the initial value."""
    stores = isinstance(block.body, ir.tirx.BufferStore) and isinstance(block.init, ir.tirx.BufferStore)
    reduced = [axis for axis in block.iter_vars if axis.iter_type == REDUCTION]
    if not stores or any(not _is_one(axis.dom.extent) for axis in reduced):
        return block
    start, store = block.init, block.body

    def load(node: Any) -> Any:
        return rounded(start.value) if node.source.same_as(store.buffer) else node

    value = ir.ffi.structural_map(store.value, (ir.tvm.ir.TensorLoad, load), order="post")
    return ir.s_tir.SBlock(
        [ir.tirx.IterVar(axis.dom, axis.var, SPATIAL, axis.thread_tag) for axis in block.iter_vars],
        block.reads,
        block.writes,
        block.name_hint,
        ir.tirx.BufferStore(store.buffer, value, store.indices),
        None,
        block.alloc_buffers,
        block.match_buffers,
        block.annotations,
    )


def _is_one(extent: Any) -> bool:
    return isinstance(extent, ir.tirx.IntImm) and int(extent.value) == 1
