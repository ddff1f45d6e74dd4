"""Which images change their label between two environments, and whether that is for the better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.json_values import finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn.api.values import Scores


@attrs.frozen
class Flip:
    """An image whose top-1 label differs.

    ``truth`` is its true output, where that is known; ``first`` and ``second`` are the labels, None where an
    output is not finite. The confidences are the probabilities of these labels, 0 to 1, each in its own
    environment.
    """

    image: str
    truth: int | None
    first: int | None
    second: int | None
    first_confidence: float | None
    second_confidence: float | None

    @property
    def kind(self) -> str:
        """``lost`` (right, then wrong), ``won`` (wrong, then right), or ``other``."""
        if self.truth is None or self.truth not in (self.first, self.second):
            return "other"
        return "lost" if self.first == self.truth else "won"


@attrs.frozen
class Flips:
    """The images whose labels differ between two environments, those first that were the surest in both."""

    first: str
    second: str
    images: tuple[Flip, ...]

    @property
    def lost(self) -> int:
        """How many were right in the first and are wrong in the second."""
        return sum(each.kind == "lost" for each in self.images)

    @property
    def won(self) -> int:
        """How many were wrong in the first and are right in the second."""
        return sum(each.kind == "won" for each in self.images)


def flips(
    names: tuple[str, str], one: Scores, other: Scores, images: Sequence[str], truth: Sequence[int | None]
) -> Flips:
    """Compare the labels of outputs ``[images, classes]``; ``truth`` are output indices."""
    labels = [_labels(each) for each in (one, other)]
    sure = [_confidence(each) for each in (one, other)]
    found = [
        Flip(
            images[row],
            truth[row],
            *(None if side[row] < 0 else int(side[row]) for side in labels),
            *(finite(float(side[row])) for side in sure),
        )
        for row in np.flatnonzero(labels[0] != labels[1]).tolist()
    ]
    surest = sorted(found, key=lambda each: -min(each.first_confidence or 0.0, each.second_confidence or 0.0))
    return Flips(*names, tuple(surest))


def _labels(scores: Scores) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the labels, -1 where an output is not finite."""
    usable = np.isfinite(scores.values).all(axis=1)
    return np.where(usable, scores.labels(), -1)


def _confidence(scores: Scores) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    with np.errstate(all="ignore"):  # not all are finite
        found: np.ndarray[tuple[int], np.dtype[np.float64]] = scores.probabilities().max(axis=1)
    return found
