from __future__ import annotations

import numpy as np
import pytest

from mutatenn import Scores
from mutatenn_comparators.top_k_jaccard import TopKJaccard

ORIGINAL = Scores(np.array([[0.4, 0.3, 0.2, 0.1, 0.0]]))


@pytest.mark.parametrize(
    ("candidate", "index"),
    [
        ([0.3, 0.4, 0.2, 0.1, 0.0], 1.0),  # {0, 1} again, in another order
        ([0.4, 0.1, 0.3, 0.2, 0.0], 1 / 3),  # {0, 1} and {0, 2}: one of three
        ([0.0, 0.1, 0.2, 0.3, 0.4], 0.0),  # {0, 1} and {4, 3}
        ([0.4, 0.2, 0.2, 0.2, 0.0], 1.0),  # a tie of 1, 2 and 3 goes to 1
    ],
)
def test_the_index_of_the_top_two(candidate: list[float], index: float) -> None:
    comparator = TopKJaccard(k=2)
    values = comparator.measure(ORIGINAL, Scores(np.array([candidate])))
    assert values.tolist() == [index]
    assert comparator.noticed(values).tolist() == [index < 1]


def test_by_default_the_top_five_count() -> None:
    original = Scores(np.arange(8.0)[np.newaxis])  # best five: 7 6 5 4 3
    candidate = Scores(np.roll(np.arange(8.0), 1)[np.newaxis])  # best five: 0 7 6 5 4
    # Four shared, six in the union.
    assert TopKJaccard().measure(original, candidate).tolist() == [4 / 6]


def test_k_is_cut_to_the_number_of_classes() -> None:
    reverse = Scores(ORIGINAL.values[:, ::-1])
    assert TopKJaccard(k=6).measure(ORIGINAL, reverse).tolist() == [1.0]
