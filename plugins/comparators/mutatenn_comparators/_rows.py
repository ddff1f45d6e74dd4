"""What the comparators share: how rows of scores are judged, differenced and cut to the top k."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from mutatenn import Comparator, Scores

C = TypeVar("C", bound=Comparator)
Measure = Callable[[C, Scores, Scores], NDArray[np.float64]]


def finite_rows(measure: Measure[C]) -> Measure[C]:
    """Return ``measure`` made to see only the images whose candidate values are all finite.

    The other images measure NaN. A distance that overflows on finite values becomes inf or NaN, so
    that it is noticed, without a warning.
    """

    @functools.wraps(measure)
    def measure_finite(self: C, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        finite = np.isfinite(candidate.values).all(axis=1)
        result = np.full(len(finite), np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            result[finite] = measure(self, _rows(original, finite), _rows(candidate, finite))
        return result

    return measure_finite


def _rows(scores: Scores, chosen: NDArray[np.bool_]) -> Scores:
    return attrs.evolve(scores, values=scores.values[chosen])


def difference(original: Scores, candidate: Scores) -> NDArray[np.float64]:
    """Return original minus candidate, ``[images, classes]``, subtracted in float64."""
    result: NDArray[np.float64] = np.subtract(original.values, candidate.values, dtype=np.float64)
    return result


def in_top_k(scores: Scores, k: int) -> NDArray[np.bool_]:
    """Return which classes are among an image's best ``k``, ``[images, classes]``.

    Ties go to the lower index; every class is in where there are no more than ``k``.
    """
    chosen = np.zeros(scores.values.shape, dtype=np.bool_)
    np.put_along_axis(chosen, scores.ranking()[:, :k], True, axis=1)
    return chosen
