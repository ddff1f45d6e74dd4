from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import Scores
from mutatenn_comparators.max_rel import MaxRel


def max_rel(a: list[float], b: list[float], **options: Any) -> NDArray[np.float64]:
    return MaxRel(**options).measure(Scores(np.array([a])), Scores(np.array([b])))


def test_the_largest_fraction_counts() -> None:
    # 0.1 / 0.8 = 0.125 and 0.1 / 0.2 = 0.5; the other way round 0.1 / 0.7 and 0.1 / 0.3.
    assert max_rel([0.8, 0.2], [0.7, 0.3]) == pytest.approx([0.5])
    assert max_rel([0.7, 0.3], [0.8, 0.2]) == pytest.approx([1 / 3])


def test_the_sign_of_the_original_does_not_matter() -> None:
    assert max_rel([-4.0], [-3.0]) == pytest.approx([0.25])


def test_below_the_floor_the_error_is_a_fraction_of_the_floor() -> None:
    assert max_rel([0.0, 1.0], [1e-8, 1.0]) == pytest.approx([0.1])  # 1e-8 / 1e-7
    assert max_rel([1e-9, 1.0], [2e-9, 1.0]) == pytest.approx([0.01])  # 1e-9 / 1e-7
    assert max_rel([0.0, 1.0], [0.02, 1.0], floor=0.1) == pytest.approx([0.2])


@pytest.mark.parametrize(("fraction", "noticed"), [(0.9e-3, False), (1.1e-3, True)])
def test_the_threshold(fraction: float, noticed: bool) -> None:
    values = max_rel([0.99, 1e-4], [0.99, 1e-4 * (1 + fraction)])
    assert MaxRel().noticed(values).tolist() == [noticed]
