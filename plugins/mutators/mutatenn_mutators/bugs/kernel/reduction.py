"""Reductions gone wrong: their start, their last step, their order, their precision."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from mutatenn import Example, KernelMutator, KernelPatternMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.literals import is_float32
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators._shared.tir import (
    accumulates,
    integer,
    integer_like,
    loop_with,
    parts_of,
    reduction_loops,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NO_INIT = "spcl/dace#2414: Fix uninitialized fresh WCR reduction accumulators"
_REPEATED_INIT = (
    "apache/tvm#20116: [BugFix][TE] Initialize nested reductions at the outermost reduction scope"
)
_LAST_STEP = "triton-lang/triton#630: Incorrect GEMM result when K is not multiple of 32"
_RACE = "apache/tvm#7420: Parallel on Reduction Axis in CPU needs rigorous checking"
_HALF = "uxlfoundation/oneDNN#5041: [GPU] Use f32 accumulator for f16 input in convolution"

_SUM = """\
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8, 4), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
        for k in range(4):
            with T.sblock("sum"):
                v = T.axis.spatial(8, i)
                r = T.axis.reduce(4, k)
                T.reads(A[v, r])
                T.writes(B[v])
"""
_INIT = ("with T.init():", "    B[v] = T.float32(0)")
_STEP = "B[v] = B[v] + A[v, r]"


class WrongInit(KernelMutator):
    """Mistreat the initialisation of a block that reduces."""

    groups = ("bugs",)
    nodes = ("SBlock",)
    needs = "reduction"

    def matches(self, node: Any) -> bool:
        """Accept blocks that have one."""
        return node.init is not None


class DropReductionInit(WrongInit):
    """Leave out the initialisation of a reduction, which adds to what the memory held."""

    name = "drop-reduction-init"
    origin = _NO_INIT

    def rewrite(self, node: Any) -> Any:
        """Return the block without it."""
        return block_with(node, node.body)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a sum."""
        return [Example(sum_kernel(*_INIT, _STEP), sum_kernel(_STEP))]


class RepeatReductionInit(WrongInit):
    """Initialise a reduction at every step, which leaves the last step's term alone."""

    name = "repeat-reduction-init"
    origin = _REPEATED_INIT

    def matches(self, node: Any) -> bool:
        """Accept blocks that reduce over more than one step."""
        return node.init is not None and any(
            var.iter_type == ir.tirx.IterVar.CommReduce and integer(var.dom.extent) != 1
            for var in node.iter_vars
        )

    def rewrite(self, node: Any) -> Any:
        """Return the block with it in the body."""
        return block_with(node, ir.tirx.SeqStmt([node.init, node.body]))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a sum."""
        return [Example(sum_kernel(*_INIT, _STEP), sum_kernel("B[v] = T.float32(0)", _STEP))]


class ReductionLoop(KernelPatternMutator):
    """Change a loop that blocks reduce over."""

    groups = ("bugs",)
    nodes = ("For", "SBlockRealize")
    needs = "loop that reduces"

    def edits(self, nodes: Sequence[Any]) -> Sequence[Mapping[int, Callable[[Any], Any]]]:
        """Return one site for each such loop that can be changed."""
        return [{place: self.rewrite} for place in reduction_loops(nodes) if self.matches(nodes[place])]

    def matches(self, loop: Any) -> bool:
        """Accept serial loops of more than one step."""
        return bool(loop.kind == ir.tirx.ForKind.SERIAL) and (integer(loop.extent) or 0) > 1

    @abstractmethod
    def rewrite(self, loop: Any) -> Any:
        """Return the changed loop."""


class SkipLastReductionStep(ReductionLoop):
    """Leave out the last step of a reduction, and with it a term of every sum."""

    name = "skip-last-reduction-step"
    origin = _LAST_STEP

    def rewrite(self, loop: Any) -> Any:
        """Return the loop with one step less."""
        return loop_with(loop, extent=integer_like(int(loop.extent) - 1, loop.extent))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a sum."""
        before = sum_kernel(*_INIT, _STEP)
        return [Example(before, before.replace("range(4)", "range(3)"))]


class ParallelizeReduction(ReductionLoop):
    """Run the steps of a reduction in parallel, which loses terms when threads add at the same time.

    A race: it shows on several threads only, and not always. Kernels that run on one thread, as those of the
    llvm backend, still compute the same.
    """

    name = "parallelize-reduction"
    stage = "scheduled"
    origin = _RACE

    def matches(self, loop: Any) -> bool:
        """Accept serial loops of more than one step with no parallel loop, nor one of threads, inside."""
        kinds = {int(each.kind) for each in parts_of(loop.body, ir.tirx.For)}
        taken = {int(ir.tirx.ForKind.PARALLEL), int(ir.tirx.ForKind.THREAD_BINDING)}
        return super().matches(loop) and not kinds & taken

    def rewrite(self, loop: Any) -> Any:
        """Return the loop of the other kind."""
        return loop_with(loop, kind=ir.tirx.ForKind.PARALLEL)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a sum."""
        before = sum_kernel(*_INIT, _STEP)
        return [Example(before, before.replace("range(4)", "T.parallel(4)"))]


class AccumulateFloat16(KernelMutator):
    """Add up float32 numbers in float16."""

    name = "accumulate-float16"
    groups = ("bugs",)
    origin = _HALF
    nodes = ("BufferStore",)
    needs = "sum in float32"

    def matches(self, node: Any) -> bool:
        """Accept stores of float32 sums with what they overwrite."""
        return is_float32(node.value) and accumulates(node)

    def rewrite(self, node: Any) -> Any:
        """Return the store of the sum of both terms as float16."""
        wide = node.value.ty.dtype
        half = "float16" if wide.lanes == 1 else f"float16x{wide.lanes}"
        one, other = (ir.tirx.Cast(half, term) for term in (node.value.a, node.value.b))
        return ir.tirx.BufferStore(node.buffer, ir.tirx.Cast(wide, ir.tirx.Add(one, other)), node.indices)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a sum."""
        after = 'B[0] = T.Cast("float32", T.Cast("float16", B[0]) + T.Cast("float16", A[i]))'
        return [Example(kernel("B[0] = B[0] + A[i]"), kernel(after))]


def block_with(block: Any, body: Any) -> Any:
    """Return a block with another body and no initialisation."""
    return ir.s_tir.SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        body,
        None,
        block.alloc_buffers,
        block.match_buffers,
        block.annotations,
    )


def sum_kernel(*lines: str) -> str:
    """Return the source of a kernel whose block combines the rows of an array to ``B[v]``."""
    return _SUM + "".join(f"{' ' * 16}{line}\n" for line in lines)


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [
        DropReductionInit,
        RepeatReductionInit,
        SkipLastReductionStep,
        ParallelizeReduction,
        AccumulateFloat16,
    ]
