from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutatenn import Scores
from mutatenn_comparators.rbo import RankBiasedOverlap


def scores(ranking: list[int]) -> Scores:
    """Return scores that rank the classes so, best first."""
    values = np.empty(len(ranking))
    values[ranking] = np.arange(len(ranking), 0, -1)
    return Scores(values[np.newaxis])


def rbo(ours: list[int], theirs: list[int], p: float = 0.9) -> float:
    return float(RankBiasedOverlap(p=p).measure(scores(ours), scores(theirs))[0])


def equation_32(ours: list[int], theirs: list[int], p: float) -> float:
    """Webber, Moffat and Zobel 2010; S is the shorter list, of length s, L the longer, of l."""
    shorter, longer = sorted([ours, theirs], key=len)
    s, length = len(shorter), len(longer)
    overlap = [len({*shorter[:d]} & {*longer[:d]}) for d in range(length + 1)]
    x_s, x_l = overlap[s], overlap[length]
    seen = sum(overlap[d] / d * p**d for d in range(1, length + 1))
    assumed = sum(x_s * (d - s) / (s * d) * p**d for d in range(s + 1, length + 1))
    return (1 - p) / p * (seen + assumed) + ((x_l - x_s) / length + x_s / s) * p**length


def test_the_formula_of_the_test_on_uneven_lists() -> None:
    # S = a, L = a b, p = 1/2. X1 = X2 = 1: sum 1/2 + 1/2 * 1/4 = 5/8; assumed 1 * 1/2 * 1/4 = 1/8.
    # (1 - p) / p = 1; the last term (0 / 2 + 1) * 1/4. Together 5/8 + 1/8 + 1/4 = 1.
    assert equation_32([0], [0, 1], 0.5) == 1.0


def test_the_best_two_swapped() -> None:
    # Agreement 0, 1, 1: (1 - p) / p * (p**2 + p**3) + p**3 with p = 1/2: 1/4 + 1/8 + 1/8.
    assert rbo([0, 1, 2], [1, 0, 2], p=0.5) == pytest.approx(0.5)


def test_rotated_by_one() -> None:
    # Agreement 0, 1/2, 2/3, 1, 1; it misses 1, 1/2, 1/3 with weights 0.1, 0.09, 0.081:
    # 1 - (0.1 + 0.045 + 0.027) = 0.828.
    assert rbo([0, 1, 2, 3, 4], [1, 2, 3, 0, 4]) == pytest.approx(0.828)


def test_one_class() -> None:
    assert rbo([0], [0]) == 1.0


@given(
    rankings=st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.permutations(range(n)), st.permutations(range(n)))
    ),
    p=st.floats(0.05, 0.98),
)
def test_it_agrees_with_equation_32(rankings: tuple[list[int], list[int]], p: float) -> None:
    ours, theirs = rankings
    assert rbo(ours, theirs, p) == pytest.approx(equation_32(ours, theirs, p), abs=1e-12)


@pytest.mark.parametrize("rank", range(1, 10))
def test_the_threshold_notices_swaps_among_the_first_six_ranks(rank: int) -> None:
    ours = list(range(10))
    theirs = [*ours[: rank - 1], rank, rank - 1, *ours[rank + 1 :]]
    values = RankBiasedOverlap().measure(scores(ours), scores(theirs))
    assert values == pytest.approx(1 - 0.1 * 0.9 ** (rank - 1) / rank)
    assert RankBiasedOverlap().noticed(values).tolist() == [rank <= 5]


def test_ties_are_ranked_by_the_lower_index() -> None:
    tied = Scores(np.array([[0.4, 0.3, 0.3]]))
    comparator = RankBiasedOverlap()
    assert comparator.measure(scores([0, 1, 2]), tied).tolist() == [1.0]
    assert comparator.measure(scores([0, 2, 1]), tied) < 1.0


def test_many_classes() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = list(range(1001)), rng.permutation(1001).tolist()
    assert rbo(ours, theirs) == pytest.approx(equation_32(ours, theirs, 0.9), abs=1e-12)
