"""A comparator that breaks a promise fails the check of comparators, which names the promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import Comparator, Scores
from mutatenn.testing import check_comparator


class Largest(Comparator):
    """Measures the largest difference."""

    name = "largest"
    worse = "higher"

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return np.abs(original.values - candidate.values).max(axis=1).astype(np.float64)


class PassesInfinity(Largest):
    """Leaves infinity in its measure."""


class KeepsNan(Largest):
    """Measures NaN as it should."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        finite = np.isfinite(candidate.values).all(axis=1)
        return np.where(finite, super().measure(original, candidate), np.nan)


class Backwards(KeepsNan):
    """Says that less is worse."""

    worse = "lower"


class Narrow(KeepsNan):
    """Measures in float32."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return super().measure(original, candidate).astype(np.float32)


class Pooled(KeepsNan):
    """Measures all images at once."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        each = super().measure(original, candidate)
        return each if np.isnan(each).any() or not len(each) else np.full(len(each), each.mean())


class Destructive(KeepsNan):
    """Works in place."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        result = super().measure(original, candidate)
        candidate.values[:] = 0
        return result


class Scalar(KeepsNan):
    """Measures one number."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return np.float64(0)


class Jumpy(KeepsNan):
    """Notices what did not change."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return super().measure(original, candidate) + 1


def test_a_comparator_that_keeps_its_promises() -> None:
    check_comparator(KeepsNan)


@pytest.mark.parametrize(
    ("cls", "promise"),
    [
        (PassesInfinity, "inf measures NaN, in its row only"),
        (Backwards, "nothing measures better than an unchanged output"),
        (Narrow, "measures are float64, not float32"),
        (Pooled, "does not depend on others"),
        (Destructive, "arguments are not modified|always the same"),
        (Scalar, "one measure per image"),
        (Jumpy, "an unchanged output is not noticed"),
        (Comparator, "does not define measure"),
    ],
)
def test_a_comparator_that_breaks_one(cls: type[Comparator], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_comparator(cls)
