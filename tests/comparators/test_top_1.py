from __future__ import annotations

import numpy as np

from mutatenn import Scores
from mutatenn_comparators.top_1 import Top1


def test_it_tells_whether_the_label_stays() -> None:
    original = Scores(np.array([[0.1, 0.9], [0.8, 0.2], [0.7, 0.3]]))
    candidate = Scores(np.array([[0.4, 0.6], [0.3, 0.7], [0.9, 0.1]]))
    values = Top1().measure(original, candidate)
    assert values.tolist() == [1.0, 0.0, 1.0]
    assert Top1().noticed(values).tolist() == [False, True, False]


def test_ties_go_to_the_lower_index() -> None:
    tied = Scores(np.array([[0.2, 0.4, 0.4], [0.2, 0.4, 0.4]]))
    candidate = Scores(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    assert Top1().measure(tied, candidate).tolist() == [1.0, 0.0]
