"""A sample tells of all mutants, and a campaign may stop when it tells enough."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import mutatenn
from mutatenn import InputError
from mutatenn.campaign.execution.setup import Setup, set_up
from mutatenn.host.plugin_host import PluginHost
from mutatenn.results.estimate import Stratum, stratified
from mutatenn.results.run import Run
from mutatenn_reporters.terminal import Terminal

HEAD = """
name = "sampled"
seed = 2
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/*_00*.png"
limit = 8
[[mutations]]
operator = "{operator}"
sites = {sites}
"""
EACH, SAMPLE = '"each"', "{ sample = 15 }"
STOP = "[stop]\nwidth = {}\n"
SECOND = '[[mutations]]\noperator = "lt-to-le"\nsites = {}\n'


def write(folder: Path, operator: str = "AT", sites: str = EACH, tail: str = "") -> Path:
    path = folder / "sampled.toml"
    path.write_text(HEAD.format(operator=operator, sites=sites) + tail)
    return path


def prepared(path: Path) -> Setup:
    return set_up(path, PluginHost.installed())


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("complete")
    return mutatenn.run(write(folder, "store-int8", tail=SECOND.format(EACH)), folder / "run")


def test_all_mutants_leave_no_doubt(complete: Run) -> None:
    interval = complete.interval("cpu")
    assert interval is not None
    assert interval.low == interval.high == interval.score == complete.score().value


def test_a_sample_leaves_an_interval_around_the_truth(complete: Run, tmp_path: Path) -> None:
    path = write(tmp_path, "store-int8", SAMPLE, SECOND.format(SAMPLE))
    run = mutatenn.run(path, tmp_path / "some")
    interval = run.interval("cpu")
    assert interval is not None
    assert 0.05 < interval.width < 0.4
    assert interval.low <= complete.score().value <= interval.high
    score = run.score("cpu")
    assert (score.interval, score.value, score.low) == (interval, interval.score, interval.low)
    ends = f"score {score.value:.2f} low {interval.low:.2f} high {interval.high:.2f} killed "
    assert Terminal().report(run, tmp_path).splitlines()[-1].startswith(ends)
    entries = {entry.operator: entry.population for entry in run.operators("cpu")}
    strata = [
        Stratum.of(score.detected, score.valid, sum(score.counts.values()), entries[operator])
        for operator, score in run.scores("cpu").items()
    ]
    assert interval == stratified(strata)


def test_what_is_no_sample_has_no_interval(tmp_path: Path) -> None:
    twice = '[[mutations]]\noperator = "store-int8"\nsites = [0]\n'
    run = mutatenn.run(write(tmp_path, "store-int8", "[1, 2]", twice), tmp_path / "run")
    assert run.interval("cpu") is None


@pytest.mark.slow
def test_it_stops_when_the_interval_is_narrow_enough(tmp_path: Path) -> None:
    path = write(tmp_path, "store-int8", tail=SECOND.format(EACH) + STOP.format(0.3))
    run = mutatenn.run(path, tmp_path / "run", workers=2)
    planned, judged = len(run.mutants), sum(run.score().counts.values())
    assert 10 < judged < planned / 2
    interval = run.interval("cpu")
    assert interval is not None
    assert interval.width <= 0.3
    first = [record.id for record in run.mutants[:judged]]
    ran = [record.id for record in run.mutants if record.verdicts]
    assert ran != first, "not the first ones of the plan: a random sample of it"
    again = mutatenn.run(path, tmp_path / "run")
    assert sum(again.score().counts.values()) == judged
    path.write_text(path.read_text().replace("width = 0.3", "width = 0"))
    assert sum(mutatenn.run(path, tmp_path / "run").score().counts.values()) == planned


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 5))])
def test_a_stratified_sample_takes_its_share_of_every_operator_and_kernel(tmp_path: Path, seed: int) -> None:
    sites = f"{{ sample = 40, seed = {seed}, stratified = true }}"
    plan = prepared(write(tmp_path, sites=sites)).plans()["cpu"]
    assert len({mutant.id for mutant in plan.mutants}) == 40
    total = sum(entry.sites for entry in plan.operators)
    for entry in plan.operators:
        share = 40 * entry.sites / total
        assert math.floor(share) <= entry.mutants <= math.ceil(share) + 1
        assert entry.population == entry.sites
    other = prepared(write(tmp_path, sites=sites.replace(f"seed = {seed}", "seed = 9"))).plans()["cpu"]
    assert [mutant.id for mutant in other.mutants] != [mutant.id for mutant in plan.mutants]


def test_more_than_there_is_takes_all(tmp_path: Path) -> None:
    sites = "{ sample = 1000, stratified = true }"
    plan = prepared(write(tmp_path, "store-int8", sites)).plans()["cpu"]
    assert len(plan.mutants) == plan.operators[0].sites


@pytest.mark.parametrize(
    "tail", [STOP.format(2), STOP.format(-1), STOP.format(0.1) + "confidence = 1.0\n", "[stop]"]
)
def test_wrong_stops(tmp_path: Path, tail: str) -> None:
    with pytest.raises(InputError, match=r"stop\."):
        prepared(write(tmp_path, tail=tail))


def test_what_the_user_picks_or_leaves_out_is_no_sample(tmp_path: Path) -> None:
    path = write(tmp_path, "store-int8", tail=STOP.format(0.9))
    run = mutatenn.run(path, tmp_path / "run", only=["store-int8.softmax.*"])
    assert 0 < sum(run.score().counts.values()) < len(run.mutants)
    assert run.interval("cpu") is None
    skip = '[[skip]]\nmutants = "store-int8.softmax.*"\nreason = "known"\n'
    assert mutatenn.run(write(tmp_path, "store-int8", tail=skip), tmp_path / "rest").interval("cpu") is None
