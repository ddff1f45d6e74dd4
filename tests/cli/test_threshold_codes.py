"""Thresholds as a user meets them: told first, and the same exit code from every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mutatenn

Command = Callable[..., Any]
Write = Callable[..., Path]
Install = Callable[[str], None]

BROKEN = '''
class Broken(KernelMutator):
    """Calls a function that does not exist."""
    name, nodes = "broken", ("BufferStore",)
    def matches(self, node):
        return node.value.ty.dtype == "float32"
    def rewrite(self, node):
        name, call = ir.tirx.StringImm("no_such_function"), ir.tvm.ir.Op.get("tirx.call_extern")
        value = ir.tirx.Call("float32", call, [name, node.value])
        return ir.tirx.BufferStore(node.buffer, value, node.indices)
    @classmethod
    def examples(cls): return ()

@hookimpl
def mutatenn_mutators(): return [Broken]
'''
MUTATIONS = """
[[mutations]]
operator = "transpose-conv2d-data"
sites = [1]
[[mutations]]
operator = "broken"
sites = [0, 1]
"""
WARNING = "warning: broken: 2 of 2 mutants have no verdict: 2 build errors"
FEW = "threshold failed: min_valid: only 1 of 3 mutants (33.3 %) have a verdict, at least 50 % must: "


def test_mutants_that_are_mostly_not_built(
    write: Write, command: Command, install: Install, tmp_path: Path
) -> None:
    install(BROKEN)
    out = tmp_path / "run"
    picked = command("run", write(mutations=MUTATIONS), "--out", out, "--only", "broken.*.0.*")
    assert (picked.code, picked.err) == (0, ""), "what waits may still have verdicts"
    done = command("run", tmp_path / "campaign.toml", "--out", out)
    assert (done.code, done.err) == (1, "")
    report = command("report", out)
    assert (report.code, report.err) == (1, "")
    few, warning, title, *_ = report.out.splitlines()
    assert few.startswith(FEW)
    assert (warning, title) == (WARNING, "campaign small")
    assert report.out in done.out

    written = command("report", out, "--reporter", "json")
    assert (written.code, written.err) == (1, f"mutatenn: {few}\n")
    found = json.loads((out / "report" / "report.json").read_text())
    (failed,) = found["failed_thresholds"]
    assert few == f"threshold failed: {failed['threshold']}: {failed['reason']}"
    assert (failed["environment"], failed["value"], failed["least"]) == ("cpu", 1 / 3, 0.5)
    assert found["environments"][0]["few_verdicts"] == ["broken"]
    assert [str(each) for each in mutatenn.open_run(out).failed_thresholds] == [few]

    scored = command("score", out, "--kill", "max-abs", "--min-score", "1")
    assert (scored.code, scored.err) == (1, "")
    assert scored.out.startswith(f"{few}\nkilled by max-abs\n")
    lax = "--kill", "max-abs", "--option", "threshold=2"
    scored = command("score", out, *lax, "--min-score", "1", "--json")
    assert scored.code == 1
    failed = json.loads(scored.out)["failed_thresholds"]
    assert [(each["threshold"], each["value"]) for each in failed] == [("min_valid", 1 / 3), ("min_score", 0)]


def test_the_campaign_file_says_what_must_be_reached(
    write: Write, command: Command, install: Install, tmp_path: Path
) -> None:
    install(BROKEN)
    thresholds = "[thresholds]\nmin_valid = {}\nmin_score = {}\n"
    run = "run", tmp_path / "campaign.toml", "--out", tmp_path / "run"
    write(mutations=MUTATIONS, tail=thresholds.format(0, 1))
    assert command(*run).code == 0
    assert [command(name, tmp_path / "run").code for name in ("report", "score")] == [0, 0]
    write(mutations=MUTATIONS, tail=thresholds.format(0.3, 1))
    done = command(*run)
    assert done.code == 0, "a threshold may change; a third of the mutants have a verdict"
    assert f"\n{WARNING}\ncampaign small\n" in done.out


def test_every_threshold_is_an_option(finished: Any, command: Command) -> None:
    run = finished.directory
    for option, value, code in (
        ("--min-valid", "1", 0),
        ("--max-timed-out", "0", 0),
        ("--max-build-errors", "0", 0),
        ("--max-infrastructure-errors", "0", 0),
        ("--max-new-survivors", "0", 1),
        ("--max-new-survivors", "99", 0),
        ("--min-score", "transpose-conv2d-data=1", 0),
        ("--min-score", "NIO=0.1", 0),
        ("--min-score", "all=1", 1),
    ):
        for name in ("report", "score"):
            assert command(name, run, option, value).code == code, (name, option, value)
    told = command("report", run, "--max-new-survivors", "0").out.splitlines()[0]
    assert told.startswith("threshold failed: max_new_survivors: 1 survivor is new, at most 0 may be: ")


def test_survivors_of_an_earlier_run_are_not_new(finished: Any, command: Command, tmp_path: Path) -> None:
    run = finished.directory
    done = command("report", run, "--max-new-survivors", "0", "--against", run)
    assert done.code == 0
    assert command("score", run, "--max-new-survivors", "0", "--against", run).code == 0
    done = command("report", run, "--against", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "is not a run directory" in done.err


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--max-timed-out", "-1", "--max-timed-out takes a number of mutants, 0 or more, not '-1'"),
        (
            "--max-new-survivors",
            "many",
            "--max-new-survivors takes a number of mutants, 0 or more, not 'many'",
        ),
        ("--min-valid", "50", "--min-valid takes a number from 0 to 1, not '50'"),
        ("--min-score", "LN=x", "--min-score takes a number from 0 to 1, not 'x'"),
        ("--min-score", "transpose-conv2d-dat=1", "--min-score: unknown operator or category "),
    ],
)
def test_thresholds_that_are_none(
    finished: Any, command: Command, option: str, value: str, told: str
) -> None:
    done = command("report", finished.directory, f"{option}={value}")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"mutatenn: error: {told}")
