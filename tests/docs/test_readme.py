"""The README's plugin is installed and used; its commands exist, its Python runs."""

from __future__ import annotations

import inspect
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
PYTHON = README.partition("## From Python")[2].partition("\n## ")[0]
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


@pytest.mark.parametrize("name", [*(command.name for command in OWN), *PluginHost.installed().commands()])
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`mutatenn {name}" in README


def test_its_signature_is_that_of_run() -> None:
    signature, _ = re.findall(r"```python\n(.*?)```", PYTHON, re.DOTALL)
    assert inspect.getsource(mutatenn.run).startswith(signature)


def test_it_names_what_a_run_offers() -> None:
    named = set(re.findall(r"`run\.(\w+)", PYTHON))
    assert {name for name in named if not hasattr(mutatenn.Run, name)} == set()
    assert len(named) > 20


def test_its_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, script = re.findall(r"```python\n(.*?)```", PYTHON, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("campaign.toml").write_text(CAMPAIGN.replace("store-half", "store-int16"))
    mutatenn.run("campaign.toml", out="runs/y")
    names: dict[str, object] = {}
    exec(script, names)
    run = names["run"]
    assert isinstance(run, mutatenn.Run)
    lines = capsys.readouterr().out.splitlines()
    for record in run.mutants:
        verdict = record.verdicts["cpu"]
        assert f"{record.id} cpu {verdict.status} {verdict.killed}" in lines
    assert (tmp_path / "runs/x/device_evaluation.json").exists()
