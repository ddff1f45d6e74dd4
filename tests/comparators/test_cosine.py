from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.spatial import distance

from mutatenn import Scores
from mutatenn_comparators.cosine import Cosine


def cosine(a: list[float], b: list[float]) -> float:
    return float(Cosine().measure(Scores(np.array([a])), Scores(np.array([b])))[0])


def test_by_hand() -> None:
    # 3 * 4 + 4 * 3 = 24 over 5 * 5.
    assert cosine([3, 4], [4, 3]) == pytest.approx(0.96)
    assert cosine([1, 0], [0, 2]) == pytest.approx(0.0)
    assert cosine([3, 4], [-6, -8]) == pytest.approx(-1.0)


def test_a_common_factor_does_not_count() -> None:
    assert cosine([0.5, 0.3, 0.2], [5, 3, 2]) == 1.0


def test_the_zero_vector() -> None:
    assert cosine([0, 0], [0, 0]) == 1.0
    assert cosine([0, 0], [3, 4]) == 0.0
    assert cosine([3, 4], [0, 0]) == 0.0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_scale_does_not_matter(scale: float) -> None:
    assert cosine([3, 4], [4 * scale, 3 * scale]) == pytest.approx(0.96)


def test_it_is_precise_where_the_threshold_lies() -> None:
    # An angle of t has the cosine 1 - t**2 / 2.
    assert 1 - cosine([1, 0], [1, 1e-7]) == pytest.approx(5e-15, rel=0.05)
    assert not Cosine().noticed(np.array([cosine([1, 0], [1, 1.4e-3])])).any()
    assert Cosine().noticed(np.array([cosine([1, 0], [1, 1.5e-3])])).all()


@given(rows=hnp.arrays(np.float32, (2, 6), elements={"min_value": 0.125, "max_value": 8}))
def test_it_agrees_with_scipy(rows: NDArray[np.float32]) -> None:
    ours, theirs = rows[:1], rows[1:] * np.array([1, -1] * 3, dtype=np.float32)
    expected = 1 - distance.cdist(ours, theirs, "cosine")[0]
    np.testing.assert_allclose(
        Cosine().measure(Scores(ours), Scores(theirs)), expected, atol=1e-12, equal_nan=False
    )
