"""``mutatenn score``: other oracles judge the same outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mutatenn

Command = Callable[..., Any]


def counts(done: Any) -> dict[str, int]:
    assert (done.code, done.err) == (0, "")
    pairs = done.out.splitlines()[-1].split()[2:]
    return dict(zip(pairs[::2], map(int, pairs[1::2]), strict=True))


def test_the_campaigns_own_oracle_gives_its_own_score(finished: Any, command: Command) -> None:
    done = command("score", finished.directory)
    assert done.out.startswith("killed by top-1\n")
    assert done.out.splitlines()[-1] == finished.done.out.splitlines()[-1]


def test_a_stricter_oracle_kills_more(finished: Any, command: Command) -> None:
    found = counts(command("score", finished.directory, "--kill", "max-abs"))
    assert (found["killed"], found["survived"]) == (3, 0)


def test_options(finished: Any, command: Command) -> None:
    done = command("score", finished.directory, "--kill", "max-abs", "--option", "threshold=2")
    assert done.out.startswith("killed by max-abs threshold=2\n")
    # No difference is that large; but a degenerate output kills, whatever the oracle says.
    assert (counts(done)["killed"], counts(done)["survived"]) == (1, 2)


def test_an_oracle_that_notices_the_original_itself_is_refused(finished: Any, command: Command) -> None:
    done = command("score", finished.directory, "--kill", "max-abs", "--option", "threshold=-1")
    assert (done.code, done.out) == (2, "")
    assert "oracle 'max-abs' notices the original itself" in done.err


def test_the_object(finished: Any, command: Command) -> None:
    done = command("score", finished.directory, "--kill", "top-k-jaccard", "--option", "k=3", "--json")
    found = json.loads(done.out)
    assert (found["kill"], found["options"]) == ("top-k-jaccard", {"k": 3})
    environment = found["environments"]["cpu"]
    assert sum(environment["counts"].values()) == 4
    assert environment["score"] == environment["counts"]["killed"] / 4
    assert environment["waiting"] == 0


def test_the_run_stays_as_it_was(finished: Any, command: Command) -> None:
    before = contents(finished.directory)
    assert command("score", finished.directory, "--kill", "max-abs").code == 0
    assert contents(finished.directory) == before
    assert mutatenn.open_run(finished.directory).score().counts["killed"] == 2


def contents(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix[:8] != ".sqlite-"
    }


@pytest.mark.parametrize("kill", ["kendall-tau", "rbo", "levenshtein", "cosine", "ulp", "kl"])
def test_every_oracle_judges_every_mutant(finished: Any, command: Command, kill: str) -> None:
    assert sum(counts(command("score", finished.directory, "--kill", kill)).values()) == 4
