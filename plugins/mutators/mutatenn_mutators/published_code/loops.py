"""Changes where a loop begins and how long it runs."""

from __future__ import annotations

from typing import Any, ClassVar

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
    sign: ClassVar[int]
    bounds: ClassVar[tuple[int, int]]
    """Of a loop from 0 to 8, once it is changed by one."""
    amount: int = attrs.field(default=1, validator=attrs.validators.ge(1))

    def changed(self, bound: Any) -> Any:
        """Return a bound that is so much larger, or smaller."""
        return integer_like(int(bound) + self.sign * self.amount, bound)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one loop."""
        start, stop = cls.bounds
        before, span = kernel("B[i] = A[i]"), f"{start}, {stop}" if start else str(stop)
        return [Example(before, before.replace("range(8)", f"range({span})"))]


@attrs.frozen(kw_only=True)
class LoopExtent(LoopBound):
    """Change how many steps a loop runs."""

    def matches(self, node: Any) -> bool:
        """Accept loops of a number of steps known at compile time that still run."""
        known = not is_threads(node) and integer(node.extent) is not None
        return known and (self.sign > 0 or int(node.extent) > self.amount)

    def rewrite(self, node: Any) -> Any:
        """Return the longer, or shorter, loop."""
        return loop_with(node, extent=self.changed(node.extent))


@attrs.frozen(kw_only=True)
class IncreaseLoopExtent(LoopExtent):
    """Run a loop ``amount`` steps longer, which leaves the bounds of what it accesses."""

    name = "increase-loop-extent"
    sign = 1
    bounds = (0, 9)


@attrs.frozen(kw_only=True)
class DecreaseLoopExtent(LoopExtent):
    """Run a loop ``amount`` steps shorter, at least one."""

    name = "decrease-loop-extent"
    sign = -1
    bounds = (0, 7)


@attrs.frozen(kw_only=True)
class LoopMinimum(LoopBound):
    """Change where a loop begins; it runs as many steps as before, so it ends elsewhere too."""

    def matches(self, node: Any) -> bool:
        """Accept serial and unrolled loops; the compiler has vectors and threads begin at 0."""
        kinds = (ir.tirx.ForKind.SERIAL, ir.tirx.ForKind.UNROLLED)
        return node.kind in kinds and integer(node.min) is not None

    def rewrite(self, node: Any) -> Any:
        """Return the loop that begins later, or earlier."""
        return loop_with(node, start=self.changed(node.min))


@attrs.frozen(kw_only=True)
class IncreaseLoopMinimum(LoopMinimum):
    """Begin a loop ``amount`` steps later, for as many steps as before."""

    name = "increase-loop-minimum"
    sign = 1
    bounds = (1, 9)


@attrs.frozen(kw_only=True)
class DecreaseLoopMinimum(LoopMinimum):
    """Begin a loop ``amount`` steps earlier, for as many steps as before."""

    name = "decrease-loop-minimum"
    sign = -1
    bounds = (-1, 7)


def is_threads(loop: Any) -> bool:
    """Tell whether the steps of a loop are threads or blocks of a GPU."""
    return bool(loop.kind == ir.tirx.ForKind.THREAD_BINDING)


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per bound and direction."""
    return [IncreaseLoopExtent, DecreaseLoopExtent, IncreaseLoopMinimum, DecreaseLoopMinimum]
