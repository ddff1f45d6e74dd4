"""The example frontend is installed for real, shows up, and runs the campaign of its README."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mutatenn

EXAMPLE = Path(__file__).parents[2] / "examples" / "mutatenn-plugin-text-network"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the example is installed."""
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(EXAMPLE)]
    subprocess.run(command, check=True)
    kept = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *kept])}


@pytest.fixture(scope="module")
def folder(installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the example's network, made as its README says."""
    folder = tmp_path_factory.mktemp("network")
    for name in ("make_digits.py", "digits.toml"):
        shutil.copy(EXAMPLE / name, folder)
    run(installed, folder, "make_digits.py")
    return folder


def run(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, cwd=folder, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


def test_its_readme_shows_the_row(installed: dict[str, str], tmp_path: Path) -> None:
    readme = [line.split() for line in (EXAMPLE / "README.md").read_text().splitlines()]
    shown = run(installed, tmp_path, "-m", "mutatenn", "plugins").splitlines()
    (row,) = (line.split() for line in shown if "mutatenn-plugin-text-network" in line)
    assert row in readme


def test_its_own_tests_pass(installed: dict[str, str], tmp_path: Path) -> None:
    run(installed, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"))


def test_its_network_is_understood(installed: dict[str, str], folder: Path) -> None:
    out = run(installed, folder, "-m", "mutatenn", "doctor", "--model", "digits.textnet", "--json")
    (found,) = json.loads(out)
    assert (found["frontend"], found["image"], found["classes"]) == ("text-network", [8, 8, 1], 10)


def test_its_campaign_runs(installed: dict[str, str], folder: Path) -> None:
    out = run(installed, folder, "-m", "mutatenn", "run", "digits.toml")
    assert "environment numpy: reference on text-network" in out
    finished = mutatenn.open_run(folder / "runs" / "text-digits")
    for name in ("compiled", "numpy"):
        baseline = finished.baselines[name]
        assert (baseline.problems, baseline.reference_labels, baseline.images) == ((), 50, 50)
        assert baseline.accuracy is not None
        assert baseline.accuracy >= 0.95
    assert finished.score("compiled").detected > 0
    assert finished.score("numpy").valid == 0
