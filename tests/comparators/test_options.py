"""Options of comparators that cannot be used are refused with what they must be."""

from __future__ import annotations

from typing import Any

import pytest

from mutatenn import Comparator
from mutatenn_comparators.kendall_tau import KendallTau
from mutatenn_comparators.levenshtein import Levenshtein
from mutatenn_comparators.max_rel import MaxRel
from mutatenn_comparators.minkowski import Minkowski
from mutatenn_comparators.rbo import RankBiasedOverlap
from mutatenn_comparators.top_k_jaccard import TopKJaccard


@pytest.mark.parametrize("comparator", [TopKJaccard, KendallTau, Levenshtein])
@pytest.mark.parametrize("k", [0, -1, 2.5, True, "5"])
def test_k_is_a_positive_integer(comparator: type[Comparator], k: Any) -> None:
    with pytest.raises(ValueError, match=f"option 'k' must be an integer of at least 1, not {k!r}"):
        comparator(k=k)  # type: ignore[call-arg]


@pytest.mark.parametrize("p", [0, 1, -0.1, 1.1, float("nan"), "0.9", None])
def test_the_persistence_of_rbo_is_between_0_and_1(p: Any) -> None:
    with pytest.raises(ValueError, match="option 'p' must be between 0 and 1, both excluded"):
        RankBiasedOverlap(p=p)


@pytest.mark.parametrize("p", [0.5, -3, float("inf"), float("nan"), "3"])
def test_the_power_of_minkowski_is_at_least_1(p: Any) -> None:
    with pytest.raises(ValueError, match="option 'p' must be finite and at least 1"):
        Minkowski(p=p)


@pytest.mark.parametrize("floor", [0, -1e-7, float("inf"), float("nan"), "small"])
def test_the_floor_of_max_rel_is_above_0(floor: Any) -> None:
    with pytest.raises(ValueError, match="option 'floor' must be finite and above 0"):
        MaxRel(floor=floor)
