"""Disturbs a value on its way to memory by a very small amount."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import attrs

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.literals import is_float32, literal_like, literal_value
from mutatenn_mutators._shared.paper import PAPER
from mutatenn_mutators._shared.sources import kernel


@attrs.frozen(kw_only=True)
class StoreEpsilon(KernelMutator):
    """Change a stored float32 value by ``epsilon``."""

    category = "SV"
    groups = ("paper", "rounding")
    origin = PAPER
    nodes = ("BufferStore",)
    epsilon: float = 1e-8

    def matches(self, node: Any) -> bool:
        """Accept stores of float32 values."""
        return is_float32(node.value)

    def rewrite(self, node: Any) -> Any:
        """Return the store of the disturbed value."""
        return ir.tirx.BufferStore(node.buffer, self.disturb(node.value), node.indices)

    @abstractmethod
    def disturb(self, value: Any) -> Any:
        """Return the changed value, built without constant folding."""


@attrs.frozen(kw_only=True)
class StoreMinusEpsilon(StoreEpsilon):
    """Subtract ``epsilon`` from a stored float32 value."""

    name = "store-minus-epsilon"

    def disturb(self, value: Any) -> Any:
        """Return value - epsilon."""
        return ir.tirx.Sub(value, literal_like(self.epsilon, value))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one store."""
        return [Example(kernel("B[i] = A[i]"), kernel("B[i] = A[i] - T.float32(1e-8)"))]


@attrs.frozen(kw_only=True)
class StoreTimesOnePlusEpsilon(StoreEpsilon):
    """Multiply a stored float32 value by 1 + ``epsilon``.

    The paper's epsilon of 1e-8 is below the resolution of float32 (1.2e-7): the factor rounds to 1, and the
    mutant cannot be noticed.
    """

    name = "store-times-one-plus-epsilon"

    def matches(self, node: Any) -> bool:
        """Accept stores of float32 values but for the literal 0, which no factor changes."""
        return is_float32(node.value) and literal_value(node.value) != 0

    def disturb(self, value: Any) -> Any:
        """Return value * (1 + epsilon)."""
        return ir.tirx.Mul(value, literal_like(1 + self.epsilon, value))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one store."""
        return [Example(kernel("B[i] = A[i]"), kernel("B[i] = A[i] * T.float32(1.00000001)"))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per operation."""
    return [StoreMinusEpsilon, StoreTimesOnePlusEpsilon]
