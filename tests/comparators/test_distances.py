from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.spatial import distance

from mutatenn import Comparator, Scores
from mutatenn_comparators.euclidean import Euclidean
from mutatenn_comparators.manhattan import Manhattan
from mutatenn_comparators.max_abs import MaxAbs
from mutatenn_comparators.minkowski import Minkowski

pairs = hnp.arrays(np.float32, (2, 4, 6), elements={"min_value": -8, "max_value": 8})


def measure(comparator: Comparator, a: Any, b: Any) -> NDArray[np.float64]:
    return comparator.measure(Scores(np.asarray(a)), Scores(np.asarray(b)))


@pytest.mark.parametrize(
    ("comparator", "expected"),
    [
        (Manhattan(), 19.0),  # 3 + 4 + 12
        (Euclidean(), 13.0),  # 9 + 16 + 144 = 169
        (Minkowski(), 1819 ** (1 / 3)),  # 27 + 64 + 1728
        (Minkowski(p=4), 21073**0.25),  # 81 + 256 + 20736
        (MaxAbs(), 12.0),
    ],
)
def test_by_hand(comparator: Comparator, expected: float) -> None:
    values = measure(comparator, [[1.0, 1.0, 1.0]], [[4.0, -3.0, 13.0]])
    assert values == pytest.approx([expected], rel=1e-15)


@pytest.mark.parametrize(
    ("comparator", "metric", "options"),
    [
        (Euclidean(), "euclidean", {}),
        (Manhattan(), "cityblock", {}),
        (Minkowski(), "minkowski", {"p": 3}),
        (Minkowski(p=1.5), "minkowski", {"p": 1.5}),
        (MaxAbs(), "chebyshev", {}),
    ],
)
@given(pair=pairs)
def test_it_agrees_with_scipy(
    comparator: Comparator, metric: Any, options: dict[str, float], pair: NDArray[np.float32]
) -> None:
    ours, theirs = pair
    expected = distance.cdist(ours, theirs, metric, **options).diagonal()
    np.testing.assert_allclose(measure(comparator, ours, theirs), expected, rtol=1e-9, atol=1e-30)


@given(pair=pairs)
def test_they_are_ordered(pair: NDArray[np.float32]) -> None:
    comparators = [MaxAbs(), Minkowski(), Euclidean(), Manhattan()]
    distances = np.array([measure(comparator, *pair) for comparator in comparators])
    assert (distances[:-1] <= distances[1:] * (1 + 1e-12)).all()


@pytest.mark.parametrize("comparator", [MaxAbs(), Minkowski(), Euclidean(), Manhattan()])
@pytest.mark.parametrize(("change", "noticed"), [(0.9e-4, False), (1.1e-4, True)])
def test_they_agree_where_one_class_changes(comparator: Comparator, change: float, noticed: bool) -> None:
    values = measure(comparator, [[0.5, 0.5, 0.0]], [[0.5, 0.5 + change, 0.0]])
    assert values == pytest.approx([change])
    assert comparator.noticed(values).tolist() == [noticed]


@pytest.mark.parametrize("p", [100, 1000.5])
def test_high_powers_of_minkowski_do_not_vanish(p: float) -> None:
    # Two errors of e: (2 * e**p) ** (1 / p) = e * 2 ** (1 / p), though e**p is less than any float.
    values = measure(Minkowski(p=p), [[0.0, 0.0]], [[1e-4, 1e-4]])
    assert values == pytest.approx([1e-4 * 2 ** (1 / p)])


def test_differences_are_taken_in_float64() -> None:
    ours = np.array([[3e38]], dtype=np.float32)
    assert measure(MaxAbs(), ours, -ours) == pytest.approx([6e38])
