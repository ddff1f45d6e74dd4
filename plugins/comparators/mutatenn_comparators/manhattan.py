"""The Manhattan oracle: how much the scores change in total."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._rows import difference, finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Manhattan(Comparator):
    """Manhattan distance of the score vectors, from 0 up: ``sum(|a - b|)``.

    Higher is worse. Of probabilities it is at most 2, and half of it is the total variation
    distance, the probability that moved from some classes to others. The threshold 1e-4 is that of
    ``max-abs``, with which it agrees where a single class changes. Rounding does not reach it on
    probabilities, whose sum stays 1 however many classes there are; on logits rounding adds up over
    the classes, so choose a higher one there.
    """

    name: ClassVar[str] = "manhattan"
    worse: ClassVar[Literal["higher", "lower"]] = "higher"
    threshold: float = 1e-4

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the distance per image."""
        distance: NDArray[np.float64] = np.abs(difference(original, candidate)).sum(axis=1)
        return distance


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``manhattan``."""
    return [Manhattan]
