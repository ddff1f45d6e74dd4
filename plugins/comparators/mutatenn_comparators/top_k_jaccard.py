"""The top-k overlap oracle: whether the best k classes stay the same, in whatever order."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._options import positive_integer
from mutatenn_comparators._rows import finite_rows, in_top_k

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class TopKJaccard(Comparator):
    """Jaccard index of the two sets of top-k classes, from 0 (disjoint) to 1 (the same set).

    The index is ``|A & B| / |A | B|`` (Jaccard, "The distribution of the flora in the alpine zone",
    New Phytologist 11, 1912). Lower is worse. The threshold 1.0 notices any class that enters or
    leaves the top k; their order does not count. ``k`` is cut to the number of classes; ties are
    ranked by the lower index.
    """

    name: ClassVar[str] = "top-k-jaccard"
    worse: ClassVar[Literal["higher", "lower"]] = "lower"
    threshold: float = 1.0
    k: int = attrs.field(default=5, validator=positive_integer)

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the Jaccard index per image."""
        ours, theirs = in_top_k(original, self.k), in_top_k(candidate, self.k)
        shared = (ours & theirs).sum(axis=1)
        union = (ours | theirs).sum(axis=1)
        index: NDArray[np.float64] = shared / union
        return index


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``top-k-jaccard``."""
    return [TopKJaccard]
