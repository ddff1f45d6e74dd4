"""The Levenshtein oracle: how many edits lie between two top-k sequences of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._options import positive_integer
from mutatenn_comparators._rows import finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Levenshtein(Comparator):
    """Edits that turn one top-k sequence of labels into the other, a count from 0 to k.

    An edit inserts, deletes or replaces one label (Levenshtein, "Binary codes capable of correcting
    deletions, insertions and reversals", Soviet Physics Doklady 10, 1966). Labels are names here:
    only whether they are equal counts. Higher is worse. The threshold 0 notices any change of the
    sequence, of order too. ``k`` is cut to the number of classes; ties are ranked by the lower
    index.
    """

    name: ClassVar[str] = "levenshtein"
    worse: ClassVar[Literal["higher", "lower"]] = "higher"
    threshold: float = 0.0
    k: int = attrs.field(default=5, validator=positive_integer)

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the number of edits per image."""
        ours, theirs = original.ranking()[:, : self.k], candidate.ranking()[:, : self.k]
        return _edits(ours, theirs).astype(np.float64)


def _edits(ours: NDArray[np.intp], theirs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the edit distance of each row, by the usual table for all images at once."""
    images, length = ours.shape
    column = np.arange(length + 1)
    table_row = np.tile(column, (images, 1))
    for done in range(length):
        replaced = table_row[:, :-1] + (ours[:, done : done + 1] != theirs)
        deleted = table_row[:, 1:] + 1
        first = np.full((images, 1), done + 1)
        best = np.hstack([first, np.minimum(replaced, deleted)])
        # Insertions: the least, over all columns to the left, of its value plus the way from it.
        table_row = np.minimum.accumulate(best - column, axis=1) + column
    return table_row[:, -1]


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``levenshtein``."""
    return [Levenshtein]
