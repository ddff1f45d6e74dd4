"""The example of backend, executor and reporter is installed for real, and runs its campaign."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from installing import EXAMPLES, install, listed, python, rows

import mutatenn

EXAMPLE = "mutatenn-plugin-short-floats"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the example is installed."""
    return install(EXAMPLE, tmp_path_factory.mktemp("site"))


def test_its_readme_shows_the_rows(installed: dict[str, str]) -> None:
    found = listed(installed, EXAMPLE)
    assert len(found) == 3
    assert all(row in rows(EXAMPLE) for row in found)


@pytest.mark.slow
def test_its_own_tests_pass(installed: dict[str, str], tmp_path: Path) -> None:
    options = "-q", "-p", "no:cacheprovider"
    python(installed, "-m", "pytest", *options, EXAMPLES / EXAMPLE / "tests", cwd=tmp_path)


@pytest.mark.slow
def test_its_campaign_runs(installed: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / EXAMPLE / "short_floats.toml", tmp_path)
    out = python(installed, "-m", "mutatenn", "run", "short_floats.toml", cwd=tmp_path)
    assert "wrote " in out
    run = mutatenn.open_run(tmp_path / "runs" / "short-floats")
    exact, short = (run.outputs(name, None) for name in ("cpu", "accelerator"))
    assert 1e-5 < np.abs(exact - short).max() < 1e-2
    np.testing.assert_array_equal(short.view(np.uint32) % 2 ** (23 - 14), 0)
    with (run.directory / "report" / "operators.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for name in run.environments:
        counts = run.score(name).counts
        own = [row for row in table if row["environment"] == name]
        assert {status: sum(int(row[status]) for row in own) for status in counts} == counts
        assert counts["killed"] > 0
