"""An environment that may fail: its failure is a finding, with its reason, and never the end of the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import mutatenn
from mutatenn import BaselineError, PluginHost, Reporter, Run

CAMPAIGN = """
name = "x"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/[0-4]_00*.png"
truth = "filename-prefix"
[[environments]]
name = "basic"
profile = "basic"
[[environments]]
name = "dies"  # TVM: batch norms folded into weights that are left as arithmetic, then another layout
profile = {{ base = "extended", off = ["FoldConstant"] }}
{}
[[environments]]
name = "plain"
[[mutations]]
operator = "relu-to-sigmoid"
sites = [0]
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Callable[[str], Path]:
    def write(line: str) -> Path:
        (tmp_path / "x.toml").write_text(CAMPAIGN.format(line))
        return tmp_path / "x.toml"

    return write


@pytest.fixture
def failed(campaign: Callable[[str], Path], tmp_path: Path) -> Run:
    return mutatenn.run(campaign("may_fail = true"), tmp_path / "run", workers=1)


def test_the_others_go_on(failed: Run) -> None:
    assert failed.environments == ("basic", "dies", "plain")
    assert set(failed.baselines) == {"basic", "plain"}
    assert {name: failed.score(name).judged for name in failed.environments} == {
        "basic": 1,
        "dies": 0,
        "plain": 1,
    }
    (name, why), *rest = failed.failures.items()
    assert (name, rest) == ("dies", [])
    assert why.startswith("the compiler cannot lower it: ")
    assert failed.factors("dies")["profile"] == "extended -FoldConstant"


def test_it_is_told(failed: Run, tmp_path: Path) -> None:
    for name in ("terminal", "html", "json", "markdown"):
        reporter = PluginHost.installed().get("reporter", name)()
        assert isinstance(reporter, Reporter)
        said = reporter.report(failed, tmp_path / "report")
        if name == "terminal":
            assert "original failed: the compiler cannot lower it" in " ".join(said.split())
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [each["failure"] for each in found["environments"]] == [None, failed.failures["dies"], None]
    for page in ("report.html", "report.md"):
        assert "failed: the compiler cannot lower it" in (tmp_path / "report" / page).read_text()


def test_it_fails_again_when_the_run_goes_on(failed: Run, campaign: Callable[[str], Path]) -> None:
    again = mutatenn.run(campaign("may_fail = true"), failed.directory, workers=1)
    assert again.failures == failed.failures
    assert again.statuses("basic") == failed.statuses("basic")


def test_elsewhere_it_ends_the_run(campaign: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="environment 'dies': the compiler cannot lower the original"):
        mutatenn.run(campaign(""), tmp_path / "run", workers=1)


def test_what_may_fail_may_also_fail_the_gate(campaign: Callable[[str], Path], tmp_path: Path) -> None:
    path = campaign("may_fail = true")
    text = path.read_text().replace('name = "plain"', 'name = "plain"\nmay_fail = true')
    text = text.replace('name = "basic"', 'name = "basic"\nmay_fail = true')
    path.write_text(f"{text}\n[gate]\ntolerance = 0\nmin_accuracy = 1\n")
    run = mutatenn.run(path, tmp_path / "run", workers=1)
    red = {name: bool(baseline.problems) for name, baseline in run.baselines.items()}
    for name, problems in red.items():
        assert run.score(name).judged == (0 if problems else 1), "no mutant of a red original runs"
