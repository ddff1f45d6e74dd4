"""Vectors that do not reach the end of a row."""

from __future__ import annotations

from typing import Any

import attrs

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators._shared.tir import integer, integer_like, loop_with

_TAIL = "amd/IRON#198: kernels: five elementwise loops walked off the end of their tiles"


@attrs.frozen(kw_only=True)
class DropVectorTail(KernelMutator):
    """Stop a loop at the last full vector of ``width`` elements, where its length is no multiple of that."""

    name = "drop-vector-tail"
    groups = ("bugs",)
    origin = _TAIL
    nodes = ("For",)
    width: int = attrs.field(default=4, validator=attrs.validators.ge(2))
    needs = "loop with a tail behind its vectors"

    def matches(self, node: Any) -> bool:
        """Accept loops of at least one vector and a tail, but for the threads of a GPU."""
        extent = integer(node.extent) or 0
        threads = node.kind == ir.tirx.ForKind.THREAD_BINDING
        return extent > self.width and extent % self.width != 0 and not threads

    def rewrite(self, node: Any) -> Any:
        """Return the loop without its tail."""
        extent = int(node.extent)
        return loop_with(node, extent=integer_like(extent - extent % self.width, node.extent))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a loop of 10 elements and vectors of 4."""
        before = kernel("B[i] = A[i]").replace("8,", "10,").replace("range(8)", "range(10)")
        return [Example(before, before.replace("range(10)", "range(8)"))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operator."""
    return [DropVectorTail]
