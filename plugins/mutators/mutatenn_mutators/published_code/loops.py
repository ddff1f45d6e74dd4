"""Changes where a loop begins and how long it runs."""

from __future__ import annotations

from typing import Any

import attrs

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.paper import CODE
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators._shared.tir import integer, integer_like, loop_with


@attrs.frozen(kw_only=True)
class LoopBound(KernelMutator):
    """Change a bound of a loop by ``amount``; loops of a GPU's threads have operators of their own."""

    groups = ("loops",)
    origin = CODE
    nodes = ("For",)
    amount: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen(kw_only=True)
class LoopExtent(LoopBound):
    """Change how many steps a loop runs."""

    def matches(self, node: Any) -> bool:
        """Accept loops of a number of steps known at compile time."""
        return not is_threads(node) and integer(node.extent) is not None


@attrs.frozen(kw_only=True)
class IncreaseLoopExtent(LoopExtent):
    """Run a loop ``amount`` steps longer, which leaves the bounds of what it accesses."""

    name = "increase-loop-extent"

    def rewrite(self, node: Any) -> Any:
        """Return the longer loop."""
        return loop_with(node, extent=integer_like(int(node.extent) + self.amount, node.extent))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one loop."""
        before = kernel("B[i] = A[i]")
        return [Example(before, before.replace("range(8)", "range(9)"))]


@attrs.frozen(kw_only=True)
class DecreaseLoopExtent(LoopExtent):
    """Run a loop ``amount`` steps shorter, at least one."""

    name = "decrease-loop-extent"

    def matches(self, node: Any) -> bool:
        """Accept loops that still run."""
        return super().matches(node) and int(node.extent) > self.amount

    def rewrite(self, node: Any) -> Any:
        """Return the shorter loop."""
        return loop_with(node, extent=integer_like(int(node.extent) - self.amount, node.extent))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one loop."""
        before = kernel("B[i] = A[i]")
        return [Example(before, before.replace("range(8)", "range(7)"))]


@attrs.frozen(kw_only=True)
class LoopMinimum(LoopBound):
    """Change where a loop begins; it runs as many steps as before, so it ends elsewhere too."""

    def matches(self, node: Any) -> bool:
        """Accept serial and unrolled loops; the compiler has vectors and threads begin at 0."""
        kinds = (ir.tirx.ForKind.SERIAL, ir.tirx.ForKind.UNROLLED)
        return node.kind in kinds and integer(node.min) is not None


@attrs.frozen(kw_only=True)
class IncreaseLoopMinimum(LoopMinimum):
    """Begin a loop ``amount`` steps later, for as many steps as before."""

    name = "increase-loop-minimum"

    def rewrite(self, node: Any) -> Any:
        """Return the loop that begins later."""
        return loop_with(node, start=integer_like(int(node.min) + self.amount, node.min))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one loop."""
        before = kernel("B[i] = A[i]")
        return [Example(before, before.replace("range(8)", "range(1, 9)"))]


@attrs.frozen(kw_only=True)
class DecreaseLoopMinimum(LoopMinimum):
    """Begin a loop ``amount`` steps earlier, for as many steps as before."""

    name = "decrease-loop-minimum"

    def rewrite(self, node: Any) -> Any:
        """Return the loop that begins earlier."""
        return loop_with(node, start=integer_like(int(node.min) - self.amount, node.min))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one loop."""
        before = kernel("B[i] = A[i]")
        return [Example(before, before.replace("range(8)", "range(-1, 7)"))]


def is_threads(loop: Any) -> bool:
    """Tell whether the steps of a loop are threads or blocks of a GPU."""
    return bool(loop.kind == ir.tirx.ForKind.THREAD_BINDING)


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per bound and direction."""
    return [IncreaseLoopExtent, DecreaseLoopExtent, IncreaseLoopMinimum, DecreaseLoopMinimum]
