"""The README's plugin is installed and used; its commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mutatenn
from mutatenn.cli.main import OWN
from mutatenn.host.plugin_host import PluginHost

README = (Path(__file__).parents[2] / "README.md").read_text()
COMMAND = re.findall(r"```python\n(# mutatenn_killed\.py\n.*?)```", README, re.DOTALL)
PLUGIN_FILES = re.findall(r"```\w+\n# (mutatenn_half\.py|pyproject\.toml)\n(.*?)```", README, re.DOTALL)

CAMPAIGN = """
name = "half"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/[0-4]_00*.png"
[[mutations]]
operator = "store-half"
sites = [0, 30]
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    assert [name for name, _ in PLUGIN_FILES] == ["mutatenn_half.py", "pyproject.toml"]
    for name, text in PLUGIN_FILES:
        (source / name).write_text(text)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)], check=True
    )
    kept = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *kept])}


def test_the_readme_plugin_keeps_the_contract(environment: dict[str, str]) -> None:
    script = "import mutatenn_half, mutatenn.testing as t; t.check_mutator(mutatenn_half.StoreHalf)"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_the_readme_plugin_runs_a_campaign(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "half.toml").write_text(CAMPAIGN)
    arguments = ["run", str(tmp_path / "half.toml"), "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "mutatenn", *arguments]
    done = subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE)
    assert done.stdout.splitlines()[-1].startswith("score ")
    run = mutatenn.open_run(tmp_path / "run")
    for record in run.mutants:
        assert record.operator == "store-half"
        assert record.verdicts["cpu"].infected > 0
    lists_killed(tmp_path, environment)


def lists_killed(folder: Path, environment: dict[str, str]) -> None:
    """Assert that the README's command, installed too, lists the killed mutants of the run in a folder."""
    (folder / "mutatenn_killed.py").write_text(*COMMAND)
    metadata = folder / "killed-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: killed\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[mutatenn]\nkilled = mutatenn_killed\n")
    more = {"PYTHONPATH": os.pathsep.join([str(folder), environment["PYTHONPATH"]])}
    command = [sys.executable, "-m", "mutatenn", "killed", str(folder / "run")]
    done = subprocess.run(command, env=environment | more, check=True, text=True, stdout=subprocess.PIPE)
    killed = [each.id for each in mutatenn.open_run(folder / "run").mutants if is_killed(each)]
    assert killed
    assert done.stdout.splitlines() == killed


def is_killed(record: mutatenn.Record) -> bool:
    return record.verdicts["cpu"].status == "killed"


@pytest.mark.parametrize("name", [*(command.name for command in OWN), *PluginHost.installed().commands()])
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`mutatenn {name}" in README


def test_every_linked_file_exists() -> None:
    root = Path(__file__).parents[2]
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (root / link).exists()] == []
