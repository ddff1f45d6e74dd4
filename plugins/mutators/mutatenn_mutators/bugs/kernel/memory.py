"""Memory shared too freely: between threads without a barrier, between values that are still needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import Example, KernelMutator, KernelPatternMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.sources import kernel, scratch_kernel
from mutatenn_mutators._shared.tir import called

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BARRIER = "apache/tvm#15478: [BugFix][TIR] ThreadSync with shared.dyn awareness"
_ALIAS = (
    "apache/tvm#20190: [Bug] [Relax] default pipeline reuses storage across alias boundary and produces "
    "silent wrong-code"
)


class DropBarrier(KernelMutator):
    """Drop a barrier between the threads of a block, which lets one read what another has yet to write.

    A race on GPUs; CPU kernels have no barriers.
    """

    name = "drop-barrier"
    groups = ("bugs",)
    stage = "lowered"
    origin = _BARRIER
    nodes = ("Evaluate",)
    needs = "barrier between threads of a GPU"

    def matches(self, node: Any) -> bool:
        """Accept barriers."""
        return called(node.value) == "tvm_storage_sync"

    def rewrite(self, node: Any) -> Any:
        """Return a statement that does nothing."""
        del node
        return ir.tirx.Evaluate(0)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one barrier."""
        lines = "B[i] = A[i]\n{}\nB[7 - i] = B[i]"
        before, after = (lines.format(each) for each in ('T.tvm_storage_sync("shared")', "T.evaluate(0)"))
        return [Example(kernel(before), kernel(after))]


class ReadOverwritten(KernelPatternMutator):
    """Load a value whose memory has been given to a later one: of two stages, both reads give the second.

    The later value is the last tensor of the same shape and type stored since the one that is meant; what is
    stored is not changed.
    """

    name = "read-overwritten-buffer"
    groups = ("bugs",)
    origin = _ALIAS
    nodes = ("TensorLoad", "BufferStore")
    needs = "tensor that could share the memory of another"

    def edits(self, nodes: Sequence[Any]) -> Sequence[Mapping[int, Callable[[Any], Any]]]:
        """Return one site for each load of a tensor that shares its shape with one stored since."""
        found: list[dict[int, Callable[[Any], Any]]] = []
        stored: list[Any] = []  # buffers in the order of their last stores
        pending: list[int] = []  # loads of the statement that is being read
        for place, node in enumerate(nodes):
            if isinstance(node, ir.tvm.ir.TensorLoad):
                pending.append(place)
                continue
            for load in pending:
                heir = _heir(nodes[load].source, node.buffer, stored)
                if heir is not None:
                    found.append({load: _load_from(heir)})
            pending = []
            stored = [*(each for each in stored if not each.same_as(node.buffer)), node.buffer]
        return found

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a residual connection: ``A`` is needed after ``C`` has been computed from it."""
        lines = "C[i] = A[i] * T.float32(2)\nB[i] = C[i] + {}[i]"
        before, after = (scratch_kernel(lines.format(name)) for name in "AC")
        return [Example(before, after)]


def _heir(buffer: Any, target: Any, stored: Sequence[Any]) -> Any:
    """Return the buffer that a statement may find in a buffer's memory instead, or None.

    ``target`` is what the statement stores to, ``stored`` are the buffers stored before, oldest first.
    """
    for other in reversed(stored):
        if other.same_as(buffer):
            return None
        if not other.same_as(target) and ir.ffi.structural_equal(other.ty, buffer.ty):
            return other
    return None


def _load_from(buffer: Any) -> Callable[[Any], Any]:
    return lambda load: ir.tirx.BufferLoad(buffer, load.indices)


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [DropBarrier, ReadOverwritten]
