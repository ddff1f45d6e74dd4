"""Ctrl-C ends a campaign at any moment with one line, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mutatenn

Write = Callable[..., Path]

# The first fork is interrupted where Python would lose it: in a hook that runs around every fork.
IN_A_FORK = """
import os, signal
from mutatenn.engine import isolate

interrupts = [signal.SIGINT]
os.register_at_fork(before=lambda: interrupts and signal.raise_signal(interrupts.pop()))
try:
    {start}
except KeyboardInterrupt:
    print("interrupted")
"""
STARTS = ["isolate.call_isolated(int)", "isolate.fork(lambda pipe: None, 2**30).reap()"]


def interrupted(campaign: Path, out: Path, begins: tuple[str, ...]) -> str:
    """Interrupt a run, as a terminal does, at a line with one of these texts; return its standard error."""
    program = [sys.executable, "-u", "-m", "mutatenn", "run", str(campaign), "--out", str(out)]
    with subprocess.Popen(
        program, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(text in line for line in process.stdout for text in begins)
        os.killpg(process.pid, signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    return told


def test_among_the_mutants(write: Write, tmp_path: Path) -> None:
    campaign = write(mutations='[[mutations]]\noperator = "store-float16"\n')
    told = interrupted(campaign, tmp_path / "run", ("killed", "survived", "never infected"))
    assert told == "mutatenn: interrupted; run the same command again to continue\n"
    run = mutatenn.open_run(tmp_path / "run")
    judged = [record for record in run.mutants if record.verdicts]
    assert 0 < len(judged) < len(run.mutants)


def test_in_the_baseline(write: Write, tmp_path: Path) -> None:
    told = interrupted(write(), tmp_path / "run", ("4 mutants on 25 images",))
    assert told == "mutatenn: interrupted; run the same command again to continue\n"
    run = mutatenn.open_run(tmp_path / "run")
    assert (len(run.mutants), run.score().valid) == (4, 0)


@pytest.mark.parametrize("start", STARTS)
def test_in_the_middle_of_a_fork(start: str) -> None:
    program = [sys.executable, "-c", IN_A_FORK.format(start=start)]
    done = subprocess.run(program, text=True, capture_output=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
