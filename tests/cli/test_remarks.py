"""Mutants that a user runs alone, skips, or accepts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mutatenn

Command = Callable[..., Any]
TRANSPOSE, INT16 = "transpose-conv2d-data", "store-int16"
REMARK = """
[[{kind}]]
mutants = "{mutants}"
reason = "{reason}"
"""


def judged(directory: Path) -> list[str]:
    return [record.operator for record in mutatenn.open_run(directory).mutants if record.verdicts]


def remark(kind: str, mutants: str, reason: str = "as agreed") -> str:
    return REMARK.format(kind=kind, mutants=mutants, reason=reason)


def test_only_what_is_asked_for_runs_and_the_rest_later(
    write: Any, command: Command, finished: Any, tmp_path: Path
) -> None:
    campaign, out = write(), tmp_path / "run"
    done = command("run", campaign, "--out", out, "--only", TRANSPOSE, "--only", "store-int1?.*")
    assert done.code == 0
    assert judged(out) == [TRANSPOSE, INT16]
    assert "2 of 4 mutants not run yet; `mutatenn run` continues" in done.out
    done = command("run", campaign, "--out", out)
    assert done.out.splitlines()[-1] == finished.done.out.splitlines()[-1]


def test_only_an_unknown_mutant(write: Any, command: Command, tmp_path: Path) -> None:
    done = command("run", write(), "--out", tmp_path / "run", "--only", "store-int17", "--quiet")
    assert (done.code, done.out) == (2, "")
    assert "no planned mutant is called 'store-int17'" in done.err
    assert judged(tmp_path / "run") == []


def test_a_skipped_mutant_does_not_run_and_the_report_says_why(
    write: Any, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = command("run", write(tail=remark("skip", "store-*", "too subtle")), "--out", out)
    assert done.code == 0
    assert len(judged(out)) == 2
    assert "2 mutants skipped by the campaign file: too subtle (2)" in done.out
    assert "not run yet" not in done.out
    report = json.loads((out / "report/report.json").read_text())
    assert report["not_run"] == 0
    skipped = {mutant["operator"]: mutant["skipped"] for mutant in report["mutants"]}
    assert [skipped[name] for name in (TRANSPOSE, INT16)] == [None, "too subtle"]
    done = command("run", write(), "--out", out)
    assert done.code == 0, "what is skipped decides no result: the same run goes on without the list"
    assert len(judged(out)) == 4


def test_an_accepted_survivor_is_not_listed_again(write: Any, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    before = command("run", write(), "--out", out).out
    assert "survivors:\n  store-int16" in before
    done = command("run", write(tail=remark("accept", "store-int16.softmax.*")), "--out", out)
    assert "survivors:" not in done.out
    assert "1 survivor accepted by the campaign file" in done.out
    assert done.out.splitlines()[-1] == before.splitlines()[-1], "it still counts"
    report = json.loads((out / "report/report.json").read_text())
    assert [m["accepted"] for m in report["mutants"] if m["operator"] == INT16] == ["as agreed"]


@pytest.mark.parametrize(
    ("tail", "cure"),
    [
        (remark("skip", "store-int61"), "no planned mutant is called 'store-int61'"),
        (remark("accept", ""), "accept[0].mutants: must not be empty"),
        (remark("accept", "x", " "), "accept[0].reason: must not be empty"),
        ('[[skip]]\nmutants = "x"\n', "skip[0].reason: missing"),
    ],
)
def test_wrong_remarks(write: Any, command: Command, tmp_path: Path, tail: str, cure: str) -> None:
    done = command("run", write(tail=tail), "--out", tmp_path / "run")
    assert done.code == 2
    assert cure in done.err
