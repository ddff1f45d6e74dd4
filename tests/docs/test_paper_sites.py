"""The page of the paper's operators on three networks says what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from page_scripts import script

from mutatenn.host.plugin_host import PluginHost
from mutatenn_mutators._shared.paper import MUTATIONS


@pytest.fixture(scope="module", name="script")
def the_script() -> Any:
    return script("paper_sites")


@pytest.fixture(scope="module")
def page(script: Any) -> str:
    return str(script.PAGE.read_text(encoding="utf-8"))


def test_every_operator_of_the_paper_has_sites_or_a_reason(script: Any, page: str) -> None:
    names = {name for name, cls in PluginHost.installed().mutators().items() if "paper" in cls.groups}
    columns = script.read(page)
    assert list(columns) == list(script.COLUMNS)
    for column in columns.values():
        assert set(column) == names
        assert all(cell.isdigit() != cell.startswith("0: no ") and cell != "0" for cell in column.values())


def test_the_bundled_model(script: Any, page: str) -> None:
    bundled = {script.BUNDLED: script.FILES[script.BUNDLED]}
    assert script.differences(bundled, page) == [], "run: python scripts/paper_sites.py"
    assert script.differences(bundled, page.replace("| 7 |", "| 8 |")) != []


def test_it_tells_of_every_mutation_what_was_matched(page: str) -> None:
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line[2:3].isdigit()]
    assert [row[:2] for row in rows] == [[str(n), what] for n, (_, what, _) in enumerate(MUTATIONS, start=1)]
    assert {len(row) for row in rows} == {4}


@pytest.mark.slow
def test_resnet50(script: Any, page: str) -> None:
    resnet = {script.RESNET: script.FILES[script.RESNET]}
    assert script.differences(resnet, page) == [], "run: python scripts/paper_sites.py"
