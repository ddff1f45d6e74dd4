"""The page about operators says what the code says, and counts the paper's mutations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from page_scripts import script

from mutatenn_mutators._shared.paper import MUTATIONS


@pytest.fixture(scope="module", name="script")
def the_script() -> Any:
    return script("operators_page")


def test_the_page_says_what_the_code_says(script: Any) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python scripts/operators_page.py"


def test_every_operator_has_a_section(script: Any) -> None:
    sections = [line[4:] for line in script.page().splitlines() if line.startswith("### ")]
    assert sorted(sections) == [operator.name for operator in script.operators()]


def test_the_paper_has_21_mutations_and_each_its_operators(script: Any) -> None:
    categories = {
        operator.name: operator.category for operator in script.operators() if "paper" in operator.groups
    }
    assert len({what for _, what, _ in MUTATIONS}) == 21
    assert Counter(category for category, _, _ in MUTATIONS) == {
        "LN": 1,
        "AN": 1,
        "NIO": 9,
        "AT": 3,
        "SV": 2,
        "CSO": 5,
    }
    for category, _, names in MUTATIONS:
        assert {categories[name] for name in names} == {category}
