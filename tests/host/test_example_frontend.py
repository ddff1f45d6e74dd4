"""The example frontend is installed for real, shows up, and runs the campaign of its README."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from installing import EXAMPLES, install, listed, python, rows

import mutatenn

EXAMPLE = "mutatenn-plugin-text-network"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the example is installed."""
    return install(EXAMPLE, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def folder(installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the example's network, made as its README says."""
    folder = tmp_path_factory.mktemp("network")
    for name in ("make_digits.py", "digits.toml"):
        shutil.copy(EXAMPLES / EXAMPLE / name, folder)
    python(installed, "make_digits.py", cwd=folder)
    return folder


def test_its_readme_shows_the_row(installed: dict[str, str]) -> None:
    (row,) = listed(installed, EXAMPLE)
    assert row in rows(EXAMPLE)


def test_its_own_tests_pass(installed: dict[str, str], tmp_path: Path) -> None:
    options = "-q", "-p", "no:cacheprovider"
    python(installed, "-m", "pytest", *options, EXAMPLES / EXAMPLE / "tests", cwd=tmp_path)


def test_its_network_is_understood(installed: dict[str, str], folder: Path) -> None:
    out = python(installed, "-m", "mutatenn", "doctor", "--model", "digits.textnet", "--json", cwd=folder)
    (found,) = json.loads(out)
    assert (found["frontend"], found["image"], found["classes"]) == ("text-network", [8, 8, 1], 10)


@pytest.mark.slow
def test_its_campaign_runs(installed: dict[str, str], folder: Path) -> None:
    out = python(installed, "-m", "mutatenn", "run", "digits.toml", cwd=folder)
    assert "environment numpy: reference on text-network" in out
    finished = mutatenn.open_run(folder / "runs" / "text-digits")
    for name in ("compiled", "numpy"):
        baseline = finished.baselines[name]
        assert (baseline.problems, baseline.reference_labels, baseline.images) == ((), 50, 50)
        assert baseline.accuracy is not None
        assert baseline.accuracy >= 0.95
    assert finished.score("compiled").detected > 0
    assert finished.score("numpy").valid == 0
