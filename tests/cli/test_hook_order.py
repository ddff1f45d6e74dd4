"""Every hook of a campaign, in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mutatenn
from mutatenn import BaselineError, Mutant, hookimpl
from mutatenn.api.baseline import Baseline
from mutatenn.api.verdict import Verdict
from mutatenn.host.plugin_host import PluginHost
from mutatenn.results.run import Run

Write = Callable[..., Path]

MUTATIONS = '[[mutations]]\noperator = "store-int16"\nsites = [0, 1, 2, 37]\n'


class Listener:
    """Writes down what happens, and what can be known at that moment."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.error: BaseException | None = None

    @hookimpl
    def mutatenn_stage_started(self, stage: str) -> None:
        self.events.append(f"stage {stage.split(maxsplit=1)[0]}")

    @hookimpl
    def mutatenn_modify_plan(self, plan: list[Mutant], environment: str) -> None:
        self.events.append(f"plan of {len(plan)} in {environment}")
        del plan[-1]

    @hookimpl
    def mutatenn_campaign_start(self, run: Run) -> None:
        self.events.append(f"start with {len(run.mutants)}, baselines {len(run.baselines)}")

    @hookimpl
    def mutatenn_baseline_finished(self, run: Run, baseline: Baseline) -> None:
        kept = run.baselines[baseline.environment] == baseline
        self.events.append(f"baseline {baseline.environment}, kept {kept}, red {bool(baseline.problems)}")

    @hookimpl
    def mutatenn_trial_finished(self, run: Run, verdict: Verdict) -> None:
        kept = run.mutant(verdict.mutant).verdicts[verdict.environment] == verdict
        self.events.append(f"trial, kept {kept}")

    @hookimpl
    def mutatenn_campaign_finish(self, run: Run, error: BaseException | None) -> None:
        done = sum(bool(record.verdicts) for record in run.mutants)
        self.events.append(f"finish with {done}")
        self.error = error


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def host(listener: Listener) -> PluginHost:
    host = PluginHost.installed()
    host.register(listener, "listener")
    return host


def test_a_whole_run_and_its_continuation(
    write: Write, host: PluginHost, listener: Listener, tmp_path: Path
) -> None:
    campaign = write(mutations=MUTATIONS)
    run = mutatenn.run(campaign, tmp_path / "run", host=host, workers=2)
    before = ["stage importing", "stage preparing", "stage lowering", "stage planning"]
    assert listener.events == [
        *before,
        "plan of 4 in cpu",
        "start with 3, baselines 0",
        *("stage compiling", "stage comparing"),
        "baseline cpu, kept True, red False",
        "stage keeping",
        *["trial, kept True"] * 3,
        "finish with 3",
    ]
    assert listener.error is None
    assert len(run.mutants) == 3
    listener.events.clear()
    mutatenn.run(campaign, tmp_path / "run", host=host)
    assert listener.events == [*before[:2], "start with 3, baselines 1", before[2], "finish with 3"]


def test_a_red_baseline(write: Write, host: PluginHost, listener: Listener, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("".join(f"{path.name},0\n" for path in digits()))
    campaign = write(
        ('"filename-prefix"', f'"{labels}"'), mutations=MUTATIONS, tail="[gate]\nmin_accuracy = 1.0\n"
    )
    with pytest.raises(BaselineError, match="accuracy") as caught:
        mutatenn.run(campaign, tmp_path / "run", host=host)
    assert caught.value.exit_code == 3
    assert [event for event in listener.events if not event.startswith("stage")] == [
        "plan of 4 in cpu",
        "start with 3, baselines 0",
        "baseline cpu, kept True, red True",
        "finish with 0",
    ]
    assert listener.error is caught.value


def digits() -> list[Path]:
    from mutatenn.campaign.config.resources import data_folder

    return sorted((data_folder() / "digits").glob("*_00*.png"))


class Order:
    """Runs the mutants in the order of their sites backwards, and writes down in which they end."""

    def __init__(self, reorders: bool) -> None:
        self.reorders, self.planned, self.ended = reorders, list[str](), list[str]()

    @hookimpl
    def mutatenn_modify_plan(self, plan: list[Mutant]) -> None:
        if self.reorders:
            plan.reverse()
        self.planned = [mutant.id for mutant in plan]

    @hookimpl
    def mutatenn_trial_finished(self, verdict: Verdict) -> None:
        self.ended.append(verdict.mutant)


@pytest.mark.parametrize("reorders", [True, False])
def test_mutants_run_in_random_order_unless_a_plugin_chose_one(
    write: Write, tmp_path: Path, reorders: bool
) -> None:
    host, order = PluginHost.installed(), Order(reorders)
    host.register(order, "order")
    sites = '[[mutations]]\noperator = "store-int16"\nsites = [0, 1, 2, 3, 4, 5, 6, 7]\n'
    mutatenn.run(write(mutations=sites), tmp_path / "run", host=host, workers=1)
    assert sorted(order.ended) == sorted(order.planned)
    assert (order.ended == order.planned) is reorders
