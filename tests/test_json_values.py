"""Values as JSON has them."""

from __future__ import annotations

import math

import numpy as np

from mutatenn.json_values import finite, jsonable


def test_it_reaches_every_depth() -> None:
    value = {"a": (1, [math.nan, {"b": -math.inf}]), 2: None, "c": 0.5, "d": True}
    assert jsonable(value) == {"a": [1, [None, {"b": None}]], "2": None, "c": 0.5, "d": True}


def test_numbers_are_pythons_own() -> None:
    assert type(finite(np.float32(0.5))) is float  # type: ignore[arg-type]
    assert finite(math.inf) is None
