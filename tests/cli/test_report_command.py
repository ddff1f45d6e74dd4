"""``mutatenn report``: every reporter gets its turn, whatever the others do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
Install = Callable[[str], None]

REPORTERS = '''
class Failing(Reporter):
    """Raises."""
    name = "failing"
    def report(self, run, directory): raise RuntimeError("no ink")

class Listing(Reporter):
    """Writes a file."""
    name = "listing"
    def report(self, run, directory):
        (directory / "list.txt").write_text(run.name)
        return "listed"

@hookimpl
def mutatenn_reporters(): return [Failing, Listing]
'''
# Root may write anywhere, unless it gives up the right to: CAP_DAC_OVERRIDE (1), by PR_CAPBSET_DROP (24).
UNPRIVILEGED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def copy(finished: Any, tmp_path: Path) -> Path:
    """A copy of the run, without the files that SQLite keeps beside an open database."""
    ignore = shutil.ignore_patterns("*-wal", "*-shm", "report")
    return Path(shutil.copytree(finished.directory, tmp_path / "copy", ignore=ignore))


def test_it_prints_what_the_run_printed(finished: Any, command: Command) -> None:
    done = command("report", finished.directory)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("campaign small\n")
    assert finished.done.out.endswith(done.out)


def test_files_go_to_the_folder_report(copy: Path, command: Command, install: Install) -> None:
    install(REPORTERS)
    done = command("report", copy, "--reporter", "listing")
    assert (done.code, done.out) == (0, "listed\n")
    assert (copy / "report" / "list.txt").read_text() == "small"


def test_a_failing_reporter_is_named_after_the_others_have_worked(
    copy: Path, command: Command, install: Install
) -> None:
    install(REPORTERS)
    done = command("report", copy, "--reporter", "failing", "--reporter", "listing")
    assert (done.code, done.out) == (4, "listed\n"), "the results are sound, and the input was"
    expected = (
        "mutatenn: error: reporter 'failing' of acme 1.0: report raised RuntimeError: no ink (acme.py, line "
    )
    assert done.err.startswith(expected)
    assert done.err.count("\n") == 1


def test_a_folder_that_cannot_be_written(copy: Path) -> None:
    modes = {path: path.stat().st_mode for path in [copy, *copy.rglob("*")]}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    try:
        program = [sys.executable, "-c", UNPRIVILEGED]
        probe = [*program, "-c", f"import os; print(os.access({str(copy)!r}, os.W_OK))"]
        if subprocess.run(probe, text=True, stdout=subprocess.PIPE, check=True).stdout != "False\n":
            pytest.skip("this user can write into every folder")
        report = [*program, "-m", "mutatenn", "report", str(copy)]
        terminal = subprocess.run(report, text=True, capture_output=True)
        json = subprocess.run([*report, "--reporter", "json"], text=True, capture_output=True)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert (terminal.returncode, terminal.stderr) == (0, "")
    assert terminal.stdout.splitlines()[-1].startswith("score 0.50 killed 2 ")
    assert json.returncode == 2
    assert json.stderr.startswith("mutatenn: error: reporter 'json' failed: ")
    assert json.stderr.count("\n") == 1
    assert sorted(os.listdir(copy)) == [".lock", "campaign.sqlite", "campaign.toml", "mutants", "outputs"]


def test_an_interrupted_run(copy: Path, command: Command) -> None:
    import sqlite3

    with sqlite3.connect(copy / "campaign.sqlite") as database:
        database.execute("DELETE FROM verdicts WHERE mutant LIKE 'store-%'")
        database.execute("DELETE FROM observations WHERE mutant LIKE 'store-%'")
    database.close()
    done = command("report", copy)
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("score 1.00 killed 2 survived 0 ")
    scores = command("score", copy)
    assert "waiting                 2" in scores.out
    assert "cpu: not run yet" in command("show", copy, "store-int16").out


COUNTING = '''
import attrs

@attrs.define(kw_only=True, eq=False)
class Counting(Reporter):
    """Counts what it hears of."""
    name = "counting"
    word: str = "heard"
    heard: int = attrs.field(init=False, default=0)
    @hookimpl
    def mutatenn_trial_finished(self, verdict): self.heard += 1
    def report(self, run, directory): return f"{self.word} {self.heard}"

@hookimpl
def mutatenn_reporters(): return [Counting]
'''


def test_the_reporter_that_followed_the_run_reports_with_the_files_options(
    write: Callable[..., Path], tmp_path: Path, command: Command, install: Install
) -> None:
    install(COUNTING)
    campaign = write(tail='[[reporters]]\nname = "counting"\noptions = { word = "counted" }\n')
    out = tmp_path / "run"
    assert command("run", campaign, "--out", out).out == "counted 4\n"
    assert command("report", out).out == "counted 0\n"
    assert command("report", out, "--reporter", "terminal").out.startswith("campaign small\n")


def test_options_that_a_reporter_does_not_take_are_told_before_the_work(
    write: Callable[..., Path], tmp_path: Path, command: Command
) -> None:
    campaign = write(tail='[[reporters]]\nname = "json"\noptions = { indend = 1 }\n')
    done = command("run", campaign, "--out", tmp_path / "run")
    assert (done.code, done.out) == (2, "")
    assert "json has no option 'indend'" in done.err
    assert not (tmp_path / "run").exists()


def test_the_campaign_file_chooses_the_executor(
    finished: Any, write: Callable[..., Path], tmp_path: Path, command: Command
) -> None:
    campaign = write(tail='[execution]\nexecutor = "worker"\n')
    done = command("run", campaign, "--out", tmp_path / "run", "--reporter", "terminal")
    assert done.out.splitlines()[-1] == finished.done.out.splitlines()[-1]


def test_several_runs_are_reported_together(
    copy: Path, finished: Any, tmp_path: Path, command: Command
) -> None:
    """The files go to the first, and name the environments of both."""
    done = command("report", copy, finished.directory)
    assert done.code == 0
    assert f"wrote {copy / 'report' / 'tables.md'}" in done.out
    table = (copy / "report" / "tables" / "environments.csv").read_text()
    assert "copy/cpu" in table
    assert f"{finished.directory.name}/cpu" in table


def test_a_reporter_of_one_run_is_not_given_several(copy: Path, finished: Any, command: Command) -> None:
    done = command("report", copy, finished.directory, "--reporter", "json", "--reporter", "devices")
    assert done.code == 2
    assert "reporter 'json' failed: it presents one run at a time, not 2" in done.err
    assert (copy / "report" / "device_evaluation.json").exists()


def test_thresholds_are_of_one_run(copy: Path, finished: Any, command: Command) -> None:
    for option in (["--min-score", "0.5"], ["--against", finished.directory]):
        done = command("report", copy, finished.directory, *option)
        assert (done.code, "of one run; name one" in done.err) == (2, True)


def test_a_run_given_twice_is_named(copy: Path, command: Command) -> None:
    done = command("report", copy, copy)
    assert done.code == 2
    assert "is given twice" in done.err
