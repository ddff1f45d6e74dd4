"""The example plugin is installed for real, shows up, and does what its README says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "mutatenn-plugin-sign-flip"

USE_IT = """
import mutatenn_plugin_sign_flip
from mutatenn import ir
from mutatenn.host.plugin_host import PluginHost
from mutatenn.testing import check_plugin_module

check_plugin_module(mutatenn_plugin_sign_flip)
operator = PluginHost.installed().get("mutator", "sign-flip")()
(example,) = operator.examples()
print(operator.apply(ir.script.from_source(example.before), (0,)))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the example is installed."""
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(EXAMPLE)]
    subprocess.run(command, check=True)
    kept = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *kept])}


def run(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout


def test_it_is_listed_as_active(installed: dict[str, str]) -> None:
    rows = json.loads(run(installed, "-m", "mutatenn", "plugins", "--json"))
    found = {row["name"]: row for row in rows if row["plugin"] == "sign-flip"}
    assert found.keys() == {"sign-flip", "sign-changes"}
    for row in found.values():
        assert (row["state"], row["distribution"]) == ("active", "mutatenn-plugin-sign-flip")


def test_its_readme_shows_the_rows(installed: dict[str, str]) -> None:
    readme = [line.split() for line in (EXAMPLE / "README.md").read_text().splitlines()]
    shown = run(installed, "-m", "mutatenn", "plugins").splitlines()
    rows = [line.split() for line in shown if "mutatenn-plugin-sign-flip" in line]
    assert len(rows) == 2
    assert all(row in readme for row in rows)


def test_its_operator_works(installed: dict[str, str]) -> None:
    assert "A[i] * T.float32(-2.5)" in run(installed, "-c", USE_IT)


def test_it_can_be_blocked(installed: dict[str, str]) -> None:
    rows = json.loads(run(installed, "-m", "mutatenn", "plugins", "--json", "--block-plugin", "sign-flip"))
    assert [row["state"] for row in rows if row["plugin"] == "sign-flip"] == ["blocked"]
