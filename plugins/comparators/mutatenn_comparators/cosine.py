"""The cosine oracle: whether two score vectors point the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._rows import finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Cosine(Comparator):
    """Cosine similarity of the score vectors, from -1 (opposite) to 1 (the same direction).

    Lower is worse; a common factor does not count. The zero vector has no direction: it measures
    1.0 against another zero vector and 0.0 against anything else.

    Vectors of unit length a small ``e`` apart have a cosine of ``1 - e**2 / 2``. The threshold
    ``1 - 1e-6`` thus forgives 1.4e-3, a little more than the relative error of 1e-3 that
    ``max-rel`` forgives.
    """

    name: ClassVar[str] = "cosine"
    worse: ClassVar[Literal["higher", "lower"]] = "lower"
    threshold: float = 1 - 1e-6

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the cosine per image."""
        ours, theirs = _directions(original), _directions(candidate)
        # By the law of cosines: exact for equal vectors, and precise near 1, unlike their product.
        cosine = 1 - ((ours - theirs) ** 2).sum(axis=1) / 2
        one_is_zero = ours.any(axis=1) != theirs.any(axis=1)
        return np.where(one_is_zero, 0.0, np.maximum(cosine, -1.0))


def _directions(scores: Scores) -> NDArray[np.float64]:
    """Return float64 rows of unit length; zero rows stay zero."""
    values = scores.values.astype(np.float64)
    largest = np.abs(values).max(axis=1, keepdims=True)
    values /= np.where(largest > 0, largest, 1.0)  # the squares can neither overflow nor vanish
    length = np.linalg.norm(values, axis=1, keepdims=True)
    directions: NDArray[np.float64] = values / np.where(length > 0, length, 1.0)
    return directions


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``cosine``."""
    return [Cosine]
