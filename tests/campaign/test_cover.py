"""Smallest sets of columns, against trying all sets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mutatenn.analysis.images import cover as module
from mutatenn.analysis.images.cover import Cover, dominators, smallest_cover

Matrix = NDArray[np.bool_]

MATRICES = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
# A cycle: each column covers two neighbouring rows. No row or column is dominated, so the search has to work.
CYCLE = np.array([[column in (row, (row + 1) % 9) for column in range(9)] for row in range(9)])


def cover(dense: Matrix, seconds: float = 10.0) -> Cover:
    found = smallest_cover(np.packbits(dense, axis=1), dense.shape[1], seconds)
    covered = dense[:, list(found.images)].any(axis=1)
    assert (covered == dense.any(axis=1)).all()
    assert len(set(found.images)) == len(found.images)
    return found


def brute_force(dense: Matrix) -> int:
    rows = dense[dense.any(axis=1)]
    for size in range(dense.shape[1] + 1):
        for chosen in combinations(range(dense.shape[1]), size):
            if rows[:, list(chosen)].any(axis=1).all():
                return size
    raise AssertionError("all columns together cover what any covers")


@given(MATRICES)
@example(CYCLE)
def test_no_set_is_smaller(dense: Matrix) -> None:
    found = cover(dense)
    assert len(found.images) == brute_force(dense) == found.lower_bound
    assert found.minimal
    assert found.greedy >= len(found.images)


@given(MATRICES)
def test_the_answer_does_not_depend_on_the_order_of_rows_or_on_their_number(dense: Matrix) -> None:
    again = np.concatenate([dense[::-1], dense, np.zeros_like(dense)])
    assert len(cover(again).images) == len(cover(dense).images)
    assert cover(dense) == cover(dense)


@given(MATRICES)
def test_images_are_in_the_order_of_what_they_add(dense: Matrix) -> None:
    missing = np.ones(len(dense), bool)
    left = sorted(cover(dense).images)
    for column in cover(dense).images:
        gains = [int((dense[:, each] & missing).sum()) for each in left]
        assert column == left[int(np.argmax(gains))]
        missing &= ~dense[:, column]
        left.remove(column)


def test_the_cycle_needs_the_integer_program() -> None:
    bits = np.packbits(CYCLE, axis=1)
    assert module._disjoint(bits) == 4
    assert cover(CYCLE).lower_bound == 5


def hard() -> Matrix:
    """Return a matrix on which the greedy search does worse than the integer program."""
    return np.random.default_rng(2).random((60, 40)) < 0.12


def test_the_integer_program_does_better_than_the_greedy_search() -> None:
    found = cover(hard())
    assert found.method == "milp"
    assert found.lower_bound == len(found.images) < found.greedy


def test_without_time_the_answer_is_a_cover_with_a_true_bound() -> None:
    best = cover(hard())
    found = cover(hard(), seconds=0.0)
    assert found.lower_bound <= len(best.images) <= len(found.images) <= found.greedy


def test_a_larger_problem_is_left_to_the_greedy_search(monkeypatch: pytest.MonkeyPatch) -> None:
    best = cover(hard())
    monkeypatch.setattr(module, "ENTRIES", 10)
    found = cover(hard())
    assert (found.method, len(found.images)) == ("greedy", found.greedy)
    assert found.lower_bound <= len(best.images) < len(found.images)
    assert not found.minimal


@given(MATRICES)
def test_looking_for_fewer_superfluous_rows_gives_the_same_size(dense: Matrix) -> None:
    work = module.WORK
    module.WORK = 1
    try:
        assert len(cover(dense).images) == brute_force(dense)
    finally:
        module.WORK = work


@given(MATRICES)
def test_dominators(dense: Matrix) -> None:
    size = dense.shape[1]
    found = dominators(np.packbits(dense, axis=1), size)
    for column in range(size):
        own = dense[:, column]
        others = [
            other
            for other in range(size)
            if own.any()
            and not (own & ~dense[:, other]).any()
            and (dense[:, other].sum() > own.sum() or other < column)
        ]
        assert (found[column] >= 0) == bool(others)
        if others:
            assert found[column] in others
            assert found[found[column]] == -1


@given(MATRICES)
def test_the_first_of_equal_images_is_taken(dense: Matrix) -> None:
    assume(dense.any())
    doubled = np.repeat(dense, 2, axis=1)
    assert all(column % 2 == 0 for column in cover(doubled).images)


def test_nothing_to_cover() -> None:
    assert cover(np.zeros((3, 4), bool)) == Cover((), 0, 0, "greedy")
    assert cover(np.zeros((0, 4), bool)) == Cover((), 0, 0, "greedy")


def test_one_column() -> None:
    assert cover(np.array([[True], [False]])) == Cover((0,), 1, 1, "greedy")


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.5))
def test_wide_matrices_cross_bytes(seed: int, density: float) -> None:
    dense = np.random.default_rng(seed).random((12, 70)) < density
    found = cover(dense)
    assert found.minimal
    assert found.lower_bound <= found.greedy
