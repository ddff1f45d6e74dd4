"""A campaign killed at any moment continues, repeats nothing that was finished, and ends the same."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import mutatenn
from mutatenn.campaign.run import Run
from mutatenn.campaign.store import Store

RUN = "import sys, mutatenn; mutatenn.run(sys.argv[1], sys.argv[2], workers=2)"


def start(campaign: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RUN, str(campaign), str(out)], start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def observations(out: Path) -> dict[str, str]:
    try:
        place = f"{(out / 'campaign.sqlite').absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(place, uri=True)) as db:
            return dict(db.execute("SELECT mutant, record FROM observations").fetchall())
    except sqlite3.OperationalError:
        return {}


def wait_for(process: subprocess.Popen[bytes], out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(observations(out)) < count:
        assert process.poll() is None, "the campaign ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def story(run: Run) -> list[tuple[object, ...]]:
    return [
        (v.mutant, v.status, v.by, v.killed_images, v.infected, v.propagated, v.oracles)
        for record in run.mutants
        for v in record.verdicts.values()
    ]


def test_killed_again_and_again_it_ends_the_same(finished: Run, campaign: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done: dict[str, str] = {}
    for moment in (0, 1, 9, 25):
        process = start(campaign, out)
        wait_for(process, out, moment)
        kill(process)
        kept = observations(out)
        assert done.items() <= kept.items(), "a finished mutant was run again or lost"
        done = kept
    assert len(done) >= 25
    run = mutatenn.run(campaign, out)
    assert done.items() <= observations(out).items()
    assert story(run) == story(finished)
    for record in run.mutants:
        assert (run.outputs("cpu", record.id) == finished.outputs("cpu", record.id)).all()


@pytest.mark.parametrize("delay", [0.4, 1.2, 2.0])
def test_killed_before_the_first_result_nothing_is_stuck(
    campaign: Path, tmp_path: Path, delay: float
) -> None:
    out = tmp_path / "run"
    process = start(campaign, out)
    time.sleep(delay)
    kill(process)
    text = campaign.read_text().replace('sites = "each"', "sites = [0]")
    small = tmp_path / "smaller.toml"
    small.write_text(text)
    if not observations(out) and not (out / "campaign.sqlite").exists():
        run = mutatenn.run(small, out)
    else:
        run = mutatenn.run(campaign, out)
    assert all(record.verdicts for record in run.mutants)


def test_a_run_that_died_before_its_plan_begins_anew(campaign: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    Store.create(out).close()  # all that is there when the process dies right after
    campaign.write_text(campaign.read_text().replace('sites = "each"', "sites = [0]"))
    assert all(record.verdicts for record in mutatenn.run(campaign, out).mutants)


def test_a_finished_run_runs_nothing(finished: Run, campaign: Path, tmp_path: Path) -> None:
    before = observations(finished.directory)
    run = mutatenn.run(finished.directory.parent / "small.toml", finished.directory)
    assert observations(finished.directory) == before
    assert story(run) == story(finished)


def test_another_configuration_is_refused_and_nothing_lost(
    finished: Run, campaign: Path, tmp_path: Path
) -> None:
    before = observations(finished.directory)
    other = tmp_path / "other.toml"
    other.write_text(campaign.read_text().replace("seed = 3", "seed = 4"))
    with pytest.raises(mutatenn.InputError, match="another configuration"):
        mutatenn.run(other, finished.directory)
    assert observations(finished.directory) == before


def test_two_processes_do_not_share_a_run(campaign: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(campaign, out)
    try:
        wait_for(process, out, 1)
        with pytest.raises(mutatenn.InputError, match="in use by another process"):
            mutatenn.run(campaign, out)
    finally:
        kill(process)
