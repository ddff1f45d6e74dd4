"""The page about plugins says what the code says, and its examples keep their promises and work together."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from page_scripts import script

import mutatenn
from mutatenn import testing
from mutatenn.host.admission import CATALOGUES, HOOKS, KINDS
from mutatenn.host.plugin_host import PluginHost

MAKER = script("plugins_page")
TEXT = MAKER.PAGE.read_text(encoding="utf-8")
PLAIN = MAKER.PART.sub("", TEXT)
EXAMPLES = dict(re.findall(r"```python\n# (mutatenn_\w+)\.py\n(.*?)```", PLAIN, re.DOTALL))
LONG = {"mutatenn_sent"}
"""Those that pack and run jobs, again and again."""
CAMPAIGN = """
name = "page"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/[0-4]_00*.png"
[[environments]]
name = "timed"
backend = "timed"
options = { seconds = 0.0 }
[[mutations]]
operator = "store-int16"
sites = [0, 1, 37]
[[mutations]]
operator = "relu-to-leaky"
options = { slope = 2.0 }
[oracles]
kill = { name = "confidence", threshold = 0.05 }
[execution]
executor = "shuffled"
options = { seed = 3 }
"""


def test_the_page_says_what_the_code_says() -> None:
    assert MAKER.page(TEXT) == TEXT, "run: python scripts/plugins_page.py"


def test_every_contract_hook_and_check_is_in_it() -> None:
    assert MAKER.wanted() - MAKER.parts(TEXT) == set()


@pytest.mark.parametrize("contract", [*KINDS.values(), mutatenn.Device])
def test_every_abstract_method_is_in_it(contract: type) -> None:
    for method in contract.__abstractmethods__:  # type: ignore[attr-defined]
        assert f"    def {method}(" in MAKER.contract(contract.__name__)


@pytest.mark.parametrize(
    "heading", [*(f"## {kind.capitalize()}s" for kind in KINDS), "## Hooks of a campaign"]
)
def test_every_kind_has_a_section(heading: str) -> None:
    assert f"\n{heading}\n" in TEXT


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_an_example_in_its_section(hook: str) -> None:
    kinds = {catalogue: kind for kind, catalogue in CATALOGUES.items()}
    heading = f"## {kinds[hook].capitalize()}s" if hook in kinds else f"### {hook}"
    section = PLAIN.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    assert re.search(rf"@hookimpl\ndef {hook}\(", section)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """Import every example."""
    folder = tmp_path_factory.mktemp("examples")
    for name, text in EXAMPLES.items():
        (folder / f"{name}.py").write_text(text)
    sys.path.insert(0, str(folder))
    yield {name: importlib.import_module(name) for name in EXAMPLES}
    sys.path.remove(str(folder))
    for name in EXAMPLES:
        del sys.modules[name]


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.slow) if each in LONG else each for each in EXAMPLES]
)
def test_an_example_keeps_its_promises(
    name: str, examples: dict[str, ModuleType], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    testing.check_plugin_module(examples[name])
    host = PluginHost()
    host.register(examples[name], name)
    for backend in host.backends().values():
        testing.check_device(backend())
    for frontend in host.frontends().values():
        weights = np.random.default_rng(1).normal(size=(5, 8, 8)).astype(np.float32)
        np.save(tmp_path / "model.npy", weights)
        images = np.random.default_rng(2).normal(size=(3, 1, 8, 8)).astype(np.float32)
        scores = testing.check_frontend(frontend, tmp_path / "model.npy", images)
        assert np.allclose(scores, images.reshape(3, 64) @ weights.reshape(5, 64).T, atol=1e-4)


def test_the_examples_work_together(
    examples: dict[str, ModuleType],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = PluginHost.installed()
    for name, module in examples.items():
        host.register(module, name)
    (tmp_path / "page.toml").write_text(CAMPAIGN)
    with caplog.at_level(logging.WARNING):
        run = mutatenn.run(tmp_path / "page.toml", tmp_path / "run", reporters=["survivors"], host=host)
    lines = capsys.readouterr().err.splitlines()
    stages = [line for line in lines if re.match(r"\d\d:\d\d:\d\d ", line)]
    assert [line.split()[1] for line in stages[:3]] == ["importing", "preparing", "lowering"]
    _check_told(run, [line for line in lines if line not in stages])
    report = host.get("reporter", "survivors")().report(run, tmp_path / "report")
    survivors = (tmp_path / "report" / "survivors.txt").read_text().splitlines()
    assert survivors == [
        f"timed {mutant}" for mutant, status in run.statuses("timed").items() if status == "survived"
    ]
    assert report == f"{len(survivors)} survivors\n"
    _check_command(host, run, capsys)


def _check_told(run: mutatenn.Run, lines: list[str]) -> None:
    """Assert what the listeners said, in order, of a run whose plan one of them has changed."""
    planned = [mutant.level for mutant in run.planned()]
    assert planned == sorted(planned), "those of the graph come first"
    assert planned.count("kernel") == 2, "the softmax is left out"
    verdicts = [verdict for record in run.mutants for verdict in record.verdicts.values()]
    assert {verdict.status for verdict in verdicts} >= {"killed", "survived"}
    survived = [verdict.mutant for verdict in verdicts if verdict.status == "survived"]
    assert lines[0] == f"timed: {len(planned)} mutants wait"
    assert lines[1].startswith("timed: accuracy unknown, ")
    assert sorted(line.split(" survived in timed: ")[0] for line in lines[2:-1]) == sorted(survived)
    assert lines[-1] == f"done; score {run.score().value:.2f}"


def _check_command(host: PluginHost, run: mutatenn.Run, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    command, parser = host.get("command", "killed")(), argparse.ArgumentParser()
    command.configure(parser)
    assert command.execute(parser.parse_args([str(run.directory)]), host) == 0
    killed = [f"timed {mutant}" for mutant, status in run.statuses("timed").items() if status == "killed"]
    assert capsys.readouterr().out.splitlines() == killed
