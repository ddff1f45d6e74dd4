"""A campaign killed at any moment continues, repeats nothing that was finished, and ends the same."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

import mutatenn
from mutatenn import locks
from mutatenn.results.run import Run
from mutatenn.results.store import Store

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


def settled(out: Path) -> dict[str, str]:
    """Return the observations that are never made again."""
    return {name: record for name, record in observations(out).items() if "infrastructure" not in record}


def ours(mark: str) -> set[int]:
    """Return the living processes that have a text in their environment."""
    found = set()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.add(int(folder.name))
    return found - {os.getpid()}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@attrs.define
class Surroundings:
    """Where campaigns run that get killed: nothing of them may be left there."""

    folder: Path
    campaign: Path
    rng: random.Random
    kills: int = 0

    def start(self, out: Path) -> subprocess.Popen[str]:
        temporary = self.folder / "temporary"
        temporary.mkdir(exist_ok=True)
        places = {"TMPDIR": str(temporary), "MUTATENN_KERNEL_CACHE": str(self.folder / "cache")}
        program = [sys.executable, "-m", "mutatenn", "run", str(self.campaign), "--out", str(out)]
        return subprocess.Popen(
            [*program, "--workers", "2"],
            env=os.environ | places,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def disturb(self, process: subprocess.Popen[str]) -> None:
        """Send a signal to the whole group, the parent or a worker."""
        number = self.rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        target = self.rng.choice(["group", "parent", "worker"])
        self.kills += 1
        with contextlib.suppress(OSError, IndexError):  # it was quicker
            if target == "group":
                os.killpg(process.pid, number)
            elif target == "parent":
                process.send_signal(number)
            else:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                os.kill(int(self.rng.choice(children)), number)

    def disturbed_run(self, out: Path) -> str:
        """Run, or continue, and disturb that a few times; return what it said on standard error."""
        before = settled(out)
        with self.start(out) as process:
            while process.poll() is None and self.rng.random() < 0.9:
                seen = len(observations(out)) + self.rng.randint(1, 4)
                wait_until(
                    lambda seen=seen: process.poll() is not None or len(observations(out)) >= seen,  # type: ignore[misc]
                    "the campaign stands still",
                )
                time.sleep(self.rng.random() * 0.05)
                self.disturb(process)
            assert process.stderr is not None
            told = process.stderr.read()
        self.check(out)
        assert before.items() <= settled(out).items(), "a finished mutant was run again or lost"
        return told

    def check(self, out: Path) -> None:
        """Check that no process and no lock is left once the campaign's process is gone."""
        mark = f"TMPDIR={self.folder / 'temporary'}"
        wait_until(lambda: not ours(mark), "a process is left")
        if (out / ".lock").exists():
            locks.release(locks.take(out / ".lock"))

    def check_files(self, out: Path) -> None:
        """Check that no temporary file is left after a run, whatever was killed before."""
        assert list((self.folder / "temporary").iterdir()) == []
        assert not [*out.rglob(".*.tmp"), *(self.folder / "cache").glob("*/.new-*")]


def assert_same(run: Run, finished: Run) -> None:
    assert story(run) == story(finished)
    for record in run.mutants:
        if record.verdicts["cpu"].status not in {"build-error", "crashed", "timed-out", "out-of-bounds"}:
            assert (run.outputs("cpu", record.id) == finished.outputs("cpu", record.id)).all()


@pytest.mark.parametrize(
    "kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.soak)]
)
def test_whoever_is_killed_nothing_is_lost_or_left(
    finished: Run, campaign: Path, tmp_path: Path, kills: int
) -> None:
    """With any signal: the whole group, the campaign's process, or one of a mutant."""
    around = Surroundings(tmp_path, campaign, random.Random(kills))
    series = 0
    while around.kills < kills:
        out = tmp_path / f"run-{series}"
        series += 1
        while around.kills < kills and len(settled(out)) < len(finished.mutants):
            told = around.disturbed_run(out)
            assert "Traceback" not in told
        with around.start(out) as process:
            pass
        assert process.returncode == 0
        around.check(out)
        assert_same(mutatenn.open_run(out), finished)
        around.check_files(out)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[int], None]]:
    """Mount a disk of so many bytes; yields what gives it another size."""

    def mount(size: int, *options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}"]), "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    folder.mkdir()
    if shutil.which("mount") is None or not mount(size):
        pytest.skip("no right to mount a small disk here")
    try:
        yield lambda size: None if mount(size, "remount") else pytest.fail("the disk cannot grow")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    "points", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.soak)]
)
def test_a_disk_that_fills_spoils_no_verdict(
    finished: Run, campaign: Path, tmp_path: Path, points: int
) -> None:
    """At any moment; every other time temporary files and kernels are on it as well."""
    needed = sum(path.stat().st_blocks * 512 for path in finished.directory.rglob("*"))
    for point in range(points):
        disk = tmp_path / f"disk-{point}"
        with small_disk(disk, 2**15 + needed * (point + 1) // (points + 1)) as resize:
            around = Surroundings(disk if point % 2 else tmp_path, campaign, random.Random(point))
            with around.start(disk / "run") as full:
                pass
            assert full.returncode != 0
            before = settled(disk / "run")
            resize(2**28)
            with around.start(disk / "run") as mended:
                pass
            assert mended.returncode == 0
            assert before.items() <= settled(disk / "run").items()
            assert_same(mutatenn.open_run(disk / "run"), finished)
            around.check(disk / "run")
            around.check_files(disk / "run")


@pytest.mark.slow
def test_killed_again_and_again_it_ends_the_same(finished: Run, campaign: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done: dict[str, str] = {}
    for moment in (0, 1, 9, 20):
        process = start(campaign, out)
        wait_for(process, out, moment)
        kill(process)
        kept = observations(out)
        assert done.items() <= kept.items(), "a finished mutant was run again or lost"
        done = kept
    assert len(done) >= 20
    run = mutatenn.run(campaign, out)
    assert done.items() <= observations(out).items()
    assert story(run) == story(finished)
    for record in run.mutants:
        assert (run.outputs("cpu", record.id) == finished.outputs("cpu", record.id)).all()


@pytest.mark.parametrize("delay", [0.4, *(pytest.param(late, marks=pytest.mark.slow) for late in (1.2, 2.0))])
def test_killed_before_the_first_result_nothing_is_stuck(
    campaign: Path, tmp_path: Path, delay: float
) -> None:
    out = tmp_path / "run"
    process = start(campaign, out)
    time.sleep(delay)
    kill(process)
    text = campaign.read_text().replace("sites = { sample = 20, seed = 10 }", "sites = [0]")
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
    campaign.write_text(campaign.read_text().replace("sites = { sample = 20, seed = 10 }", "sites = [0]"))
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
