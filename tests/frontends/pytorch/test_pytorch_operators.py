"""Forms of PyTorch's operators: what is imported computes what PyTorch does, the rest is refused by name."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from page_scripts import script

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

SAMPLED = 30
"""One of so many forms is tried by default."""
operators, pages = script("torch_operators"), script("operator_forms")


@cache
def every() -> list[tuple[str, str, Any]]:
    return list(operators.forms())


def failures(forms: list[tuple[str, str, Any]]) -> dict[str, Any]:
    found = {f"{name} {form}": operators.judged(network) for name, form, network in forms}
    return {name: outcome for name, outcome in found.items() if outcome.verdict in pages.BAD}


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
    assert outcome.verdict == pages.REFUSED
    assert told in outcome.reason
