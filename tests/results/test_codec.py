"""What a database of this schema holds is read as ever, and written so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import Mutant, Observation, Site, Status, Verdict
from mutatenn.results.codec import (
    mutant_rows,
    observation_record,
    read_mutant,
    read_observation,
    read_verdict,
    text_of,
)
from mutatenn.results.observations import AGAIN

SEEN = (
    '{"outcome": "ran", "message": "", "signal": null, "executed": 2, "kernels": ["k"], "program": "p", '
    '"masked": {"conv": 1}, "seconds": {"total": 0.5}, "memory": "leaves its buffer", '
    '"images": 4, "infected": [0, 3], "rows": [3], '
    '"again": {"images": 4, "infected": [0], "rows": [0, 1], "outputs": "b"}}'
)
SITE = Site("main", 0, "conv", ("stem.conv", "stem.bn"))
PART = Mutant("a.main.0.f", "a", "layer", "graph", "after-import", (SITE,), {"by": [1]})
BOTH = Mutant("ab.1", "combined", "layer", "graph", "after-import", PART.sites, {}, (PART, PART))


def load(part: str, digest: str | None, rows: int) -> NDArray[np.float32]:
    assert digest == {"": "a", AGAIN: "b"}[part]
    return np.full((rows, 3), rows, np.float32)


def test_an_observation() -> None:
    seen = read_observation("m", SEEN, "a", 9, load)
    assert (seen.mutant, seen.kernels, seen.outputs.tolist()) == ("m", ("k",), [[1, 1, 1]])
    assert seen.infected.tolist() == [True, False, False, True]
    assert seen.again is not None
    assert (seen.again.rows.tolist(), seen.again.outputs.shape) == ([0, 1], (2, 3))
    assert observation_record(seen, "b") == SEEN
    assert '"again"' not in observation_record(Observation("m", "ran"))


@pytest.mark.parametrize(
    "change",
    [
        {"images": 10},
        {"rows": [4]},
        {"rows": [2, -(2**63), -2, 3]},
        {"infected": [3, 0]},
        {"executed": -1},
        {"seconds": {"total": 1e999}},
        {"again": {"images": 3, "infected": [0], "rows": [0, 1], "outputs": "b"}},
        {"again": {"images": 4, "infected": [0], "rows": [0, 1], "outputs": 7}},
    ],
    ids=str,
)
def test_another_observation_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_observation("m", json.dumps(json.loads(SEEN) | change), "a", 9, load)


def test_mutants() -> None:
    sites, options = '[["main", 0, "conv", ["stem.conv", "stem.bn"]]]', '{"by": [1]}'
    part = f'["a.main.0.f", "a", "layer", "graph", "after-import", {sites}, {options}, []]'
    first, second = mutant_rows([PART, BOTH])
    assert first == (0, "a.main.0.f", "a", "layer", "graph", "after-import", sites, options, "[]")
    assert second[6:] == (sites, "{}", f"[{part}, {part}]")
    assert [read_mutant(row[1:]) for row in (first, second)] == [PART, BOTH]
    without = read_mutant([*first[1:6], '[["main", 0, "conv"]]', *first[7:]])  # of an older run
    assert without.sites == (Site("main", 0, "conv"),)


def test_a_verdict() -> None:
    verdict = Verdict("here", "m", Status.KILLED, ("top-1",), 4, 1, killed_images=("x",), masked={"conv": 1})
    text = text_of(verdict)
    assert read_verdict("here", "m", "killed", text, frozenset("xy")) == verdict
    assert json.loads(text)["status"] == "killed"
    with pytest.raises(ValueError, match="names other images"):
        read_verdict("here", "m", "killed", text, frozenset("y"))
