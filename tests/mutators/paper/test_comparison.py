"""What the general threshold operator makes of its options."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mutatenn import InputError, ir
from mutatenn.host.options import create
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators.paper.comparison import ChangeThreshold, ThresholdPlusHalf

BEFORE = "if A[i] < A[0]:\n    B[i] = A[i]"


def parse(source: str) -> Any:
    return ir.script.from_source(source)


@pytest.mark.parametrize(
    ("options", "condition"),
    [
        ({}, "A[i] < A[0] - T.float32(1)"),
        ({"side": "left"}, "A[i] - T.float32(1) < A[0]"),
        ({"action": "add", "amount": 2}, "A[i] < A[0] + T.float32(2)"),
        ({"action": "multiply", "amount": 2}, "A[i] < A[0] * T.float32(2)"),
        ({"action": "divide", "amount": 2}, "A[i] < A[0] / T.float32(2)"),
        ({"action": "percent", "amount": 50}, "A[i] < A[0] * T.float32(1.5)"),
        ({"action": "percent", "amount": -25, "side": "left"}, "A[i] * T.float32(0.75) < A[0]"),
    ],
)
def test_actions(options: dict[str, Any], condition: str) -> None:
    after = create(ChangeThreshold, options).apply(parse(kernel(BEFORE)), [0])
    expected = parse(kernel(BEFORE.replace("A[i] < A[0]", condition)))
    ir.tvm.ir.assert_structural_equal(after, expected)


def test_plus_half_is_a_special_case() -> None:
    general = create(ChangeThreshold, {"action": "add", "amount": 0.5})
    for lines in (BEFORE, BEFORE.replace("A[i] < A[0]", "i < 7")):
        unit = parse(kernel(lines))
        ir.tvm.ir.assert_structural_equal(general.apply(unit, [0]), ThresholdPlusHalf().apply(unit, [0]))


def test_every_order_is_a_site() -> None:
    unit = parse(kernel("if i < 7 and i <= 6 and i > 0 and i >= 1 and i != 3:\n    B[i] = A[i]"))
    assert len(ChangeThreshold().sites(unit)) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": "top"}, "option 'side' must be one of left, right, not 'top'"),
        (
            {"action": "round"},
            "option 'action' must be one of add, subtract, multiply, divide, percent, not 'round'",
        ),
        ({"amount": 0}, "action 'subtract' with amount 0.0 is no change, or no number"),
        ({"action": "divide", "amount": 1}, "action 'divide' with amount 1.0 is no change, or no number"),
        ({"amount": float("nan")}, "option 'amount' must be a finite number, not nan"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        create(ChangeThreshold, options)
