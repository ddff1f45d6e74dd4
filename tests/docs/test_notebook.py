"""The notebook runs from top to bottom, and holds no outputs of somebody's machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_hour.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for number, cell in enumerate(CODE):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    run = names["run"]
    assert len(run.mutants) == 40
    assert sum(run.waiting("cpu").values()) == 0
    score = run.score("cpu")
    assert f"{score.value:.2f}, {score.low:.2f} to " in capsys.readouterr().out


def test_it_holds_no_outputs() -> None:
    assert [cell["outputs"] for cell in CODE] == [[]] * len(CODE)
    assert {cell["execution_count"] for cell in CODE} == {None}
