from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutatenn import Scores
from mutatenn_comparators.ulp import Ulp

TINIEST = np.float32(2.0**-149)
LARGEST = np.finfo(np.float32).max

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def ulp(a: Any, b: Any, dtype: Any = np.float32) -> float:
    ours, theirs = Scores(np.array([[a]], dtype=dtype)), Scores(np.array([[b]], dtype=dtype))
    return float(Ulp().measure(ours, theirs)[0])


@pytest.mark.parametrize(
    ("a", "b", "steps"),
    [
        (1.0, 1.0 + 2.0**-23, 1),
        (1.0, 1.0 - 2.0**-24, 1),  # below a power of two the steps are half as long
        (1.0, 2.0, 2**23),
        (0.0, -0.0, 0),
        (0.0, TINIEST, 1),
        (-TINIEST, TINIEST, 2),
        (0.0, 2.0**-126, 2**23),  # all subnormal numbers lie between
        (0.0, 1.0, 127 * 2**23),
        (-1.0, 1.0, 254 * 2**23),
        # All finite ones: 254 exponents above the subnormal numbers, less a step, on both sides.
        (-LARGEST, LARGEST, 2 * (255 * 2**23 - 1)),
    ],
)
def test_by_hand(a: float, b: float, steps: int) -> None:
    assert ulp(a, b) == steps
    assert ulp(b, a) == steps
    assert ulp(-np.float32(a), -np.float32(b)) == steps


@given(start=floats, steps=st.integers(0, 40), up=st.booleans())
def test_it_counts_steps_to_the_next_float(start: float, steps: int, up: bool) -> None:
    value = np.float32(start)
    for _ in range(steps):
        value = np.nextafter(value, LARGEST if up else -LARGEST)
    taken = steps if abs(value) != LARGEST else ulp(start, value)
    assert ulp(start, value) == taken


@given(a=floats, b=floats, c=floats)
def test_distances_on_a_line_add_up(a: float, b: float, c: float) -> None:
    low, middle, high = sorted([a, b, c])
    assert ulp(low, high) == ulp(low, middle) + ulp(middle, high)


@given(start=st.floats(2.0**-100, 2.0**100, width=32))
def test_a_step_is_the_spacing_of_numpy(start: float) -> None:
    value = np.float32(start)
    assert ulp(value, value + np.spacing(value)) == 1


def test_the_class_that_is_farthest_counts() -> None:
    ours = Scores(np.array([[1.0, 1.0, 0.0]], dtype=np.float32))
    theirs = Scores(np.array([[1.0, 1.0 + 2.0**-21, TINIEST]], dtype=np.float32))
    assert Ulp().measure(ours, theirs).tolist() == [4.0]


def test_other_dtypes_are_rounded_to_float32() -> None:
    assert ulp(1.0, 1.0 + 2.0**-40, np.float64) == 0
    assert ulp(LARGEST, 1e300, np.float64) == 1  # the infinity follows the largest
    assert ulp(1.0, 1.5, np.float16) == 2**22


@pytest.mark.parametrize(("steps", "noticed"), [(8192, False), (8193, True)])
def test_the_threshold(steps: int, noticed: bool) -> None:
    values = np.array([ulp(1.0, 1.0 + steps * 2.0**-23)])
    assert Ulp().noticed(values).tolist() == [noticed]
