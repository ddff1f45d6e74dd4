"""The rank-biased overlap oracle: how alike two rankings are, the top counting most."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._options import number
from mutatenn_comparators._rows import finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class RankBiasedOverlap(Comparator):
    """Extrapolated rank-biased overlap of the two rankings of all classes, from 0 to 1 (the same).

    RBO_EXT of Webber, Moffat and Zobel, "A similarity measure for indefinite rankings", ACM TOIS
    28(4), 2010, equation 32; both rankings have all n classes, so that it reduces to::

        p**n * X[n] / n + (1 - p) / p * sum(p**d * X[d] / d for d in 1..n)

    where ``X[d]`` classes are in the first ``d`` of both. Lower is worse. ``p``, between 0 and 1,
    is the persistence: the smaller it is the more the top counts; with 0.9 the first ten ranks
    carry 86% of the weight. Ties are ranked by the lower index.

    Swapping the classes at ranks d and d+1 costs ``(1 - p) * p**(d - 1) / d``. The threshold 0.99
    notices any such swap among the first six ranks (the last of them costs 0.013), and forgives a
    single one further down, where rounding may swap classes of nearly equal scores.
    """

    name: ClassVar[str] = "rbo"
    worse: ClassVar[Literal["higher", "lower"]] = "lower"
    threshold: float = 0.99
    p: float = attrs.field(
        default=0.9, validator=number("between 0 and 1, both excluded", lambda p: 0 < p < 1)
    )

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return RBO_EXT per image."""
        overlap = _overlap(original.ranking(), candidate.ranking())
        depth = np.arange(1, overlap.shape[1] + 1)
        # The weights sum to 1; taking what is missing from 1 makes equal rankings exactly 1.0.
        missing = self.p ** (depth - 1.0) * (depth - overlap) / depth
        value: NDArray[np.float64] = 1.0 - (1 - self.p) * missing.sum(axis=1)
        return value


def _overlap(ours: NDArray[np.intp], theirs: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return how many classes two rankings share up to each depth, ``[images, depths]``."""
    images, classes = ours.shape
    # Place of each class in each ranking; it is shared from the deeper of its two places on.
    deeper = np.maximum(np.argsort(ours, axis=1), np.argsort(theirs, axis=1))
    cells = deeper + classes * np.arange(images)[:, np.newaxis]
    entering = np.bincount(cells.ravel(), minlength=images * classes)
    return np.cumsum(entering.reshape(images, classes), axis=1)


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``rbo``."""
    return [RankBiasedOverlap]
