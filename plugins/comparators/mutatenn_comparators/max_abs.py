"""The absolute error oracle: by how much the most changed score changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._rows import difference, finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class MaxAbs(Comparator):
    """Largest absolute error over the classes, from 0 up: ``max(|a - b|)``.

    Higher is worse; of probabilities it is at most 1. The threshold 1e-4 lies between rounding and
    behaviour: float32 sums taken in another order, as a schedule may do, move the probabilities of
    a deep network by some 1e-6 and its logits by some 1e-5, and nobody acts on a hundredth of a
    percent.
    """

    name: ClassVar[str] = "max-abs"
    worse: ClassVar[Literal["higher", "lower"]] = "higher"
    threshold: float = 1e-4

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the largest absolute error per image."""
        largest: NDArray[np.float64] = np.abs(difference(original, candidate)).max(axis=1)
        return largest


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``max-abs``."""
    return [MaxAbs]
