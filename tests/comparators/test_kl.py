from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.stats import entropy

from mutatenn import Scores
from mutatenn_comparators.kl import KullbackLeibler


def kl(a: list[float], b: list[float]) -> float:
    values = KullbackLeibler().measure(Scores(np.array([a])), Scores(np.array([b])))
    return float(values[0])


def test_by_hand() -> None:
    # 1/2 ln(1/2 / 1/4) + 1/2 ln(1/2 / 3/4) = 1/2 ln(4/3); back 1/4 ln(1/2) + 3/4 ln(3/2).
    assert kl([0.5, 0.5], [0.25, 0.75]) == pytest.approx(log(4 / 3) / 2)
    assert kl([0.25, 0.75], [0.5, 0.5]) == pytest.approx(log(1 / 2) / 4 + 3 * log(3 / 2) / 4)


def test_a_candidate_that_does_not_sum_to_1() -> None:
    # Everything doubled: sum(a ln(1/2) - a + 2 a) = 1 - ln 2. Without the last terms: negative.
    assert kl([0.5, 0.5], [1.0, 1.0]) == pytest.approx(1 - log(2))


def test_zeros() -> None:
    assert kl([1.0, 0.0], [0.5, 0.5]) == pytest.approx(log(2))
    assert kl([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert kl([0.5, 0.5], [1.5, -0.5]) == np.inf
    assert KullbackLeibler().noticed(np.array([np.inf])).all()


def test_rounding_does_not_make_it_negative() -> None:
    # scipy computes -1.1e-16 for this term.
    assert kl([0.8482660330179508], [0.8482660327488198]) == 0.0


def test_logits_go_through_a_softmax() -> None:
    original = Scores(np.array([[0.0, 0.0]]), "logits")
    candidate = Scores(np.array([[-1.0, log(3) - 1]]), "logits")  # 1/4 and 3/4
    values = KullbackLeibler().measure(original, candidate)
    assert values == pytest.approx([log(4 / 3) / 2])


@given(rows=hnp.arrays(np.float64, (2, 3, 6), elements={"min_value": 1e-3, "max_value": 1}))
def test_it_agrees_with_scipy(rows: NDArray[np.float64]) -> None:
    original, candidate = rows / rows.sum(axis=2, keepdims=True)
    values = KullbackLeibler().measure(Scores(original), Scores(candidate))
    np.testing.assert_allclose(values, entropy(original, candidate, axis=1), atol=1e-12)


@pytest.mark.parametrize(("error", "noticed"), [(1.3e-3, False), (1.5e-3, True)])
def test_the_threshold(error: float, noticed: bool) -> None:
    value = kl([0.5, 0.5], [0.5 * (1 + error), 0.5 * (1 - error)])
    assert value == pytest.approx(error**2 / 2, rel=1e-3)
    assert KullbackLeibler().noticed(np.array([value])).tolist() == [noticed]
