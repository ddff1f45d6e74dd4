from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutatenn import Scores
from mutatenn_comparators.levenshtein import Levenshtein


def scores(*rankings: list[int]) -> Scores:
    """Return scores that rank the classes of each image so, best first."""
    return Scores(-np.argsort(np.array(rankings), axis=1).astype(np.float64))


def edits_by_definition(ours: list[int], theirs: list[int]) -> int:
    @cache
    def edits(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        replaced = edits(i - 1, j - 1) + (ours[i - 1] != theirs[j - 1])
        return min(replaced, edits(i - 1, j) + 1, edits(i, j - 1) + 1)

    return edits(len(ours), len(theirs))


@pytest.mark.parametrize(
    ("theirs", "edits"),
    [
        ([0, 1, 2, 3, 4, 6, 5], 0),  # only what follows the best five differs
        ([0, 1, 2, 3, 5, 4, 6], 1),  # replace 4 by 5
        ([1, 0, 2, 3, 4, 5, 6], 2),  # a swap: replace both, or delete and insert
        ([1, 2, 3, 4, 0, 5, 6], 2),  # delete 0 in front, insert it behind
        ([5, 0, 1, 2, 3, 4, 6], 2),  # insert 5 in front, delete 4 behind
        ([4, 3, 2, 1, 0, 5, 6], 4),  # reversed: the middle stays
        ([1, 0, 5, 6, 2, 3, 4], 5),  # 0 1 2 3 4 to 1 0 5 6 2
    ],
)
def test_edits_of_the_best_five(theirs: list[int], edits: int) -> None:
    values = Levenshtein().measure(scores([0, 1, 2, 3, 4, 5, 6]), scores(theirs))
    assert values.tolist() == [edits]
    assert Levenshtein().noticed(values).tolist() == [edits > 0]


@given(
    rankings=st.lists(st.tuples(*[st.permutations(range(7))] * 2), min_size=1, max_size=4),
    k=st.integers(1, 9),
)
def test_it_agrees_with_the_definition(rankings: list[tuple[list[int], list[int]]], k: int) -> None:
    ours, theirs = zip(*rankings, strict=True)
    values = Levenshtein(k=k).measure(scores(*ours), scores(*theirs))
    assert values.tolist() == [edits_by_definition(a[:k], b[:k]) for a, b in rankings]
    assert (values <= min(k, 7)).all()


def test_ties_are_ranked_by_the_lower_index() -> None:
    tied = Scores(np.array([[0.2, 0.4, 0.4]]))
    assert Levenshtein().measure(scores([1, 2, 0]), tied).tolist() == [0.0]
    assert Levenshtein().measure(scores([2, 1, 0]), tied).tolist() == [2.0]
