"""The Euclidean oracle: how far apart two score vectors are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._rows import difference, finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Euclidean(Comparator):
    """Euclidean distance of the score vectors, from 0 up: ``sqrt(sum(|a - b| ** 2))``.

    Higher is worse. The threshold 1e-4 is that of ``max-abs``, with which it agrees where a single
    class changes.
    """

    name: ClassVar[str] = "euclidean"
    worse: ClassVar[Literal["higher", "lower"]] = "higher"
    threshold: float = 1e-4

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the distance per image."""
        distance: NDArray[np.float64] = np.linalg.norm(difference(original, candidate), axis=1)
        return distance


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``euclidean``."""
    return [Euclidean]
