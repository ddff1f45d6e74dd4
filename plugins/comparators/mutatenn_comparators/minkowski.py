"""The Minkowski oracle: a distance of score vectors between the Euclidean and the largest error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._options import number
from mutatenn_comparators._rows import difference, finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Minkowski(Comparator):
    """Minkowski distance of the score vectors, from 0 up: ``sum(|a - b| ** p) ** (1 / p)``.

    Higher is worse. ``p`` is at least 1, where it is ``manhattan``; 2 is ``euclidean``, and with
    growing ``p`` it nears ``max-abs``. The threshold 1e-4 is that of ``max-abs``, with which it
    agrees where a single class changes.
    """

    name: ClassVar[str] = "minkowski"
    worse: ClassVar[Literal["higher", "lower"]] = "higher"
    threshold: float = 1e-4
    p: float = attrs.field(
        default=3, validator=number("finite and at least 1", lambda p: 1 <= p < float("inf"))
    )

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the distance per image."""
        errors = np.abs(difference(original, candidate))
        largest = errors.max(axis=1)
        # In units of the largest error no power overflows, nor do all of them vanish.
        unit = np.where(largest > 0, largest, 1.0)[:, np.newaxis]
        total = ((errors / unit) ** self.p).sum(axis=1)
        distance: NDArray[np.float64] = largest * total ** (1 / self.p)
        return distance


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``minkowski``."""
    return [Minkowski]
