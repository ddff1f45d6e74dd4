"""Faults in the sign of numbers, and an oracle that notices signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import Comparator, Example, KernelMutator, Mutator, Scores, hookimpl, ir

if TYPE_CHECKING:
    from numpy.typing import NDArray

KERNEL = """
@T.prim_func
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
        B[i] = A[i] * T.float32({})
"""


class SignFlip(KernelMutator):
    """Flip the sign of a floating-point literal."""

    name = "sign-flip"
    nodes = ("FloatImm",)

    def matches(self, node: Any) -> bool:
        """Leave zeros alone: minus zero makes no difference."""
        return bool(node.value != 0)

    def rewrite(self, node: Any) -> Any:
        """Return the literal with the other sign."""
        return ir.tirx.FloatImm(node.ty.dtype, -node.value)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a factor that becomes negative."""
        return [Example(KERNEL.format(2.5), KERNEL.format(-2.5))]


class SignChanges(Comparator):
    """Count the classes whose score changes its sign."""

    name = "sign-changes"
    worse = "higher"

    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the number of classes per image, NaN where the candidate is not finite."""
        changed = np.sign(original.values) != np.sign(candidate.values)
        finite = np.isfinite(candidate.values).all(axis=1)
        return np.where(finite, changed.sum(axis=1), np.nan)


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operator."""
    return [SignFlip]


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute the oracle."""
    return [SignChanges]
