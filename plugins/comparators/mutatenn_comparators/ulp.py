"""The ULP oracle: how many float32 steps lie between two scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._rows import finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Ulp(Comparator):
    """Largest distance over the classes in units in the last place of float32, from 0 up.

    The distance of two numbers is how many steps from one float32 to the next lead from one to the
    other, across zero too; -0.0 and 0.0 are one number (Goldberg, "What every computer scientist
    should know about floating-point arithmetic", ACM Computing Surveys 23, 1991; Dawson,
    "Comparing floating point numbers", 2012, for the integer lattice). Higher is worse. Other
    dtypes are rounded to float32 first; beyond its range they become the infinity, one step after
    the largest float32.

    The threshold 8192 is a relative error between 5e-4 and 1e-3, about that of ``max-rel``, and
    some fifty times what float32 sums taken in another order do to the probabilities of a deep
    network. Near zero it is far stricter than any other oracle: a score that a device flushes to
    zero instead of keeping it subnormal may be 8 million steps away, and so may a logit near zero.
    """

    name: ClassVar[str] = "ulp"
    worse: ClassVar[Literal["higher", "lower"]] = "higher"
    threshold: float = 8192.0

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the largest distance per image, in steps."""
        steps: NDArray[np.int64] = np.abs(_lattice(original) - _lattice(candidate)).max(axis=1)
        return steps.astype(np.float64)


def _lattice(scores: Scores) -> NDArray[np.int64]:
    """Return each value's place among all float32 numbers in order, zero at 0."""
    values = np.ascontiguousarray(scores.values, dtype=np.float32)
    bits = values.view(np.int32).astype(np.int64)
    magnitude = bits & 0x7FFF_FFFF  # all but the sign: consecutive floats are consecutive integers
    return np.where(bits < 0, -magnitude, magnitude)


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``ulp``."""
    return [Ulp]
