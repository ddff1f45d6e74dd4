"""``mutatenn compare``: a run against a copy of it that ended otherwise, and what cannot be compared."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mutatenn

Command = Callable[..., Any]


def printed(done: Any) -> str:
    assert (done.code, done.err) == (0, "")
    return str(done.out)


@pytest.fixture
def copy(finished: Any, tmp_path: Path) -> Path:
    """Return a copy of the run whose first killed mutant crashed, and whose survivor was not run."""
    folder = tmp_path / "copy"
    shutil.copytree(finished.directory, folder)
    database = sqlite3.connect(folder / "campaign.sqlite")
    with database:
        name, record = database.execute(
            "SELECT mutant, record FROM verdicts WHERE status = 'killed' ORDER BY mutant DESC"
        ).fetchone()
        changes = json.dumps({**json.loads(record), "status": "crashed", "signal": 11, "killed": 0})
        database.execute(
            "UPDATE verdicts SET status = 'crashed', record = ? WHERE mutant = ?", (changes, name)
        )
        database.execute("DELETE FROM verdicts WHERE status = 'survived'")
    database.close()
    return folder


def test_two_runs(finished: Any, copy: Path, command: Command) -> None:
    text = printed(command("compare", finished.directory, copy))
    rows = [line.split() for line in text.splitlines()]
    assert rows[:2] == [
        ["2", "environments"],
        ["environment", "backend", "profile", "mutants", "ms", "per", "image", "accuracy"],
    ]
    assert rows[2][:4] == ["run/cpu", "llvm", "default", "4"]
    assert ["run/cpu", "copy/cpu", "0", "of", "25", "0", "1.00"] in rows
    start = rows.index(["mutants", "detected", "/", "valid"])
    assert rows[start + 1] == ["operator", "run/cpu", "copy/cpu", "diverging"]
    assert ["transpose-conv2d-data", "1/1", "1/1", "1"] in rows
    assert ["store-int16", "0/1", "-", "."] in rows
    scores = [mutatenn.open_run(each).score() for each in (finished.directory, copy)]
    assert scores[1].valid == scores[0].valid - 1
    assert ["all", *(f"{score.detected}/{score.valid}" for score in scores), "1"] in rows
    assert "\n1 mutant did not end alike\n  transpose-conv2d-data." in text
    assert text.rstrip().endswith("of 25 images), crashed in copy/cpu (SIGSEGV)")


def test_the_object(finished: Any, copy: Path, command: Command) -> None:
    found = json.loads(printed(command("compare", finished.directory, copy, "--json")))
    assert (found["selection"], found["kill"]) == ("all", "top-1")
    assert [oracle["name"] for oracle in found["oracles"]] == ["top-1", "max-abs"]
    assert [len(found[key]) for key in ("images", "environments", "mutants")] == [25, 2, 4]
    outcomes = {each["operator"]: each["outcome"] for each in found["mutants"]}
    assert outcomes == {
        "transpose-conv2d-data": "diverges",
        "exp-conv2d-before": "agrees",
        "store-int16": "undecided",
        "store-minus-epsilon": "agrees",
    }
    differing = json.loads(printed(command("compare", finished.directory, copy, "--json", "--discrepancies")))
    assert differing["selection"] == "differing"
    assert differing["mutants"] == [each for each in found["mutants"] if each["differs"]]
    assert [each["operator"] for each in differing["mutants"]] == ["transpose-conv2d-data"]


def test_discrepancies_as_text(finished: Any, copy: Path, command: Command) -> None:
    lines = printed(command("compare", finished.directory, copy, "--discrepancies")).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("  transpose-conv2d-data.")
    assert lines[1].endswith("crashed in copy/cpu (SIGSEGV)")
    assert lines[2] == "1 mutant that differs"


def test_a_run_and_itself(finished: Any, copy: Path, command: Command) -> None:
    done = command("compare", finished.directory, finished.directory)
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("/run/cpu is given twice; name each run directory once\n")


def test_one_environment(finished: Any, command: Command) -> None:
    done = command("compare", finished.directory)
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("only environment 'cpu', nothing to compare it with; name another run, too\n")


def test_some_environments(finished: Any, copy: Path, command: Command) -> None:
    whole = printed(command("compare", finished.directory, copy))
    assert printed(command("compare", finished.directory, copy, "--environment", "cpu")) == whole
    done = command("compare", finished.directory, copy, "--environment", "run/cpi")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mutatenn: error: unknown environment 'run/cpi'; did you mean 'run/cpu'?\n"


def test_no_run(command: Command, tmp_path: Path) -> None:
    done = command("compare", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "is not a run directory" in done.err


def test_names_cannot_steer_the_terminal(finished: Any, copy: Path, command: Command, tmp_path: Path) -> None:
    hostile = tmp_path / "a\x1b[31mb"
    copy.rename(hostile)
    text = printed(command("compare", finished.directory, hostile))
    assert "\x1b" not in text
    assert "a?[31mb/cpu" in text


@pytest.fixture
def many(finished: Any, tmp_path: Path) -> list[Path]:
    """Return two copies of the run with 12 more mutants, which crash in the one and time out in the other."""
    folders = []
    for status in ("crashed", "timed-out"):
        folders.append(tmp_path / status)
        shutil.copytree(finished.directory, folders[-1])
        database = sqlite3.connect(folders[-1] / "campaign.sqlite")
        with database:
            for number in range(12):
                name = f"x.{number}"
                row = (100 + number, name, "x", "LN", "graph", "graph", "[]", "{}", "[]")
                database.execute(f"INSERT INTO mutants VALUES ({', '.join('?' * 9)})", row)
                database.execute("INSERT INTO trials VALUES ('cpu', ?)", (name,))
                record = json.dumps({"environment": "cpu", "mutant": name, "status": status})
                database.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?)", ("cpu", name, status, record))
        database.close()
    return folders


def test_many_differing_mutants_are_cut(many: list[Path], command: Command) -> None:
    text = printed(command("compare", *many))
    assert "\n12 mutants did not end alike, most notable first\n  x.0\n" in text
    assert text.count("crashed in crashed/cpu, timed out in timed-out/cpu\n") == 10
    assert text.endswith("\n  and 2 more; --discrepancies lists all\n")
    listed = printed(command("compare", *many, "--discrepancies"))
    assert listed.count("crashed in crashed/cpu") == 12
    assert listed.endswith("\n12 mutants that differ\n")
