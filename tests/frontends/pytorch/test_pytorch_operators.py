"""Forms of PyTorch's operators: what is imported computes what PyTorch does, the rest is refused by name."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from page_scripts import script

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

SAMPLED = 12
"""One of so many forms is tried by default."""
operators = script("torch_operators")


@cache
def every() -> list[tuple[str, str, Any]]:
    return list(operators.forms())


def failures(forms: list[tuple[str, str, Any]]) -> dict[str, Any]:
    found = {f"{name} {form}": operators.judged(network) for name, form, network in forms}
    return {name: outcome for name, outcome in found.items() if outcome.verdict in operators.BAD}


def test_a_sample() -> None:
    assert failures(every()[::SAMPLED]) == {}


@pytest.mark.soak
@pytest.mark.parametrize("part", range(10))
def test_all(part: int) -> None:
    assert failures(every()[part::10]) == {}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("torch.lgamma(x + 1)", "does not support: aten.lgamma.default; export it"),
        (
            "torch.linalg.vector_norm(s, 0, 1)",
            "has aten.linalg_vector_norm.default (ord=0, dim=[1]), which cannot",
        ),
        ("s.to(torch.bfloat16).float()", "of bfloat16, which TVM rounds otherwise; compute it by other"),
    ],
)
def test_a_refusal_names_operator_and_arguments(code: str, told: str) -> None:
    (network,) = (network for _, form, network in every() if form == code)
    outcome = operators.judged(network)
    assert outcome.verdict == operators.REFUSED
    assert told in outcome.reason


def test_the_page_counts_forms() -> None:
    right, refused = operators.Outcome("right"), operators.Outcome("refused", "has aten.x, which; do")
    text = operators.page([("add", "x + 1", right), ("add", "x + y", right), ("x", "x(a | b)", refused)])
    assert "3 forms: 2 right, 1 refused." in text
    assert text.endswith("| add | 2 |  |  |\n| x |  | 1 | `x(a / b)`: has aten.x, which |\n")
