"""ONNX's own node tests: what is imported computes what ONNX says, everything else is refused by name."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from page_scripts import script

SAMPLED = 150
"""One of so many tests is tried by default."""
nodes = script("onnx_operators")


@cache
def every() -> list[Any]:
    return [case for case in nodes.cases() if case.place is not None]


def failures(cases: list[Any]) -> dict[str, Any]:
    """Return what is neither right nor refused in one line that names a cure."""
    found = {}
    for case in cases:
        for outcome in nodes.judged(case):
            told = outcome.verdict == nodes.REFUSED and "\n" not in outcome.reason and "; " in outcome.reason
            if not (told or outcome.verdict == nodes.RIGHT):
                found[f"{case.name} {outcome.result}"] = outcome
    return found


def test_a_sample() -> None:
    assert failures(every()[::SAMPLED]) == {}


@pytest.mark.soak
@pytest.mark.parametrize("part", range(20))
def test_all(part: int) -> None:
    assert failures(every()[part::20]) == {}


def test_the_page_counts_results_and_causes() -> None:
    right, refused = (
        nodes.Outcome("y", nodes.RIGHT),
        nodes.Outcome("y", nodes.REFUSED, "a b whose result has no fixed size; c"),
    )
    text = nodes.page({"one": [right, right], "two": [refused]}, {"one": "Add", "two": "Unique"}, 5)
    assert "3 results of 2 tests: 2 right, 1 refused. 5 tests" in text
    assert text.endswith("| Add | 2 |  |  |\n| Unique |  | 1 | its result has no fixed size |\n")
