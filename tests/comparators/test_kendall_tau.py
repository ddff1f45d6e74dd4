from __future__ import annotations

from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.stats import kendalltau

from mutatenn import Scores
from mutatenn_comparators.kendall_tau import KendallTau


def tau(x: Any, y: Any, k: int | None = None) -> float:
    ours, theirs = (Scores(np.array([row], dtype=np.float64)) for row in (x, y))
    return float(KendallTau(k=k).measure(ours, theirs)[0])


def tau_b_by_definition(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    pairs = list(combinations(range(len(x)), 2))
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in pairs]
    balance = sum(a * b for a, b in signs)
    apart_x, apart_y = (sum(abs(sign[side]) for sign in signs) for side in (0, 1))
    if apart_x == 0 or apart_y == 0:
        return float(apart_x == apart_y)
    return float(balance / np.sqrt(apart_x * apart_y))


def test_two_neighbours_swapped() -> None:
    # Six pairs, one of them ranked the other way round: (5 - 1) / 6.
    assert tau([0.4, 0.3, 0.2, 0.1], [0.3, 0.4, 0.2, 0.1]) == pytest.approx(4 / 6)


def test_reversed() -> None:
    assert tau([0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]) == -1.0


def test_ties_are_not_ranked() -> None:
    # Pairs 01 02 12: the first ranks them + + +, the second 0 + +. Balance 2; apart 3 and 2.
    assert tau([0.5, 0.3, 0.2], [0.4, 0.4, 0.2]) == pytest.approx(2 / sqrt(3 * 2))


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([0.2, 0.2, 0.2], [0.4, 0.4, 0.4], 1.0),
        ([0.5, 0.3, 0.2], [0.4, 0.4, 0.4], 0.0),
        ([0.4, 0.4, 0.4], [0.5, 0.3, 0.2], 0.0),
        ([0.7], [0.1], 1.0),
    ],
)
def test_constant_scores_rank_nothing(x: list[float], y: list[float], expected: float) -> None:
    assert tau(x, y) == expected


def test_k_restricts_to_the_classes_in_either_top() -> None:
    # Top two {0, 1} and {0, 2}: of 0, 1, 2 the pairs 01 and 02 agree and 12 does not: (2 - 1) / 3.
    # The reversed tail 3, 4, 5 does not count.
    x, y = [9, 8, 7, 3, 2, 1], [9, 7, 8, 1, 2, 3]
    assert tau(x, y, k=2) == pytest.approx(1 / 3)
    # All: 12, 34, 35 and 45 of 15 pairs do not agree: (11 - 4) / 15.
    assert tau(x, y) == tau(x, y, k=6) == tau(x, y, k=99) == pytest.approx(7 / 15)


def test_the_threshold_forgives_rounding_among_many_classes() -> None:
    ranked = np.linspace(1, 2, 1001)[np.newaxis]
    swapped = ranked.copy()
    swapped[:, [0, 1]] = ranked[:, [1, 0]]
    values = KendallTau().measure(Scores(ranked), Scores(swapped))
    assert values == pytest.approx(1 - 2 / 500500, abs=1e-15)
    assert not KendallTau().noticed(values).any()
    few = KendallTau().measure(Scores(ranked[:, :63]), Scores(swapped[:, :63]))
    assert KendallTau().noticed(few).all()


@given(
    rows=hnp.arrays(
        np.float64,
        st.tuples(st.just(2), st.integers(1, 12)),
        elements=st.one_of(st.integers(0, 4).map(float), st.floats(-1, 1)),
    ),
    k=st.none() | st.integers(1, 13),
)
def test_it_agrees_with_the_definition(rows: NDArray[np.float64], k: int | None) -> None:
    x, y = rows
    best = slice(None, k)
    ranked = np.union1d(np.argsort(-x, kind="stable")[best], np.argsort(-y, kind="stable")[best])
    assert tau(x, y, k) == pytest.approx(tau_b_by_definition(x[ranked], y[ranked]), abs=1e-12)


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("classes", [10, 64, 65, 1001])
def test_it_agrees_with_scipy(classes: int, decimals: int) -> None:
    rng = np.random.default_rng(classes)
    x = rng.standard_normal((5, classes))
    y = np.round(x + rng.standard_normal((5, classes)), decimals)
    x = np.round(x, decimals)
    expected = [kendalltau(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(KendallTau().measure(Scores(x), Scores(y)), expected, atol=1e-12)
