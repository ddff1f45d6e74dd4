"""Whatever is wrong with the input: one line that cannot steer the terminal, and an honest exit code."""

from __future__ import annotations

import random
from pathlib import Path

import malformed
import pytest
import trying

SEED, DRAWN = 1109, 560
SAMPLE = 40  # of them, drawn once: more in `make test-soak`
EVERY = malformed.every(SEED, DRAWN)
CHOSEN = {case.name for case in random.Random(SEED).sample(EVERY, SAMPLE)}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[] if case.name in CHOSEN else pytest.mark.soak)
        for case in EVERY
    ],
)
def test_it_ends_well(case: malformed.Case, tmp_path: Path) -> None:
    ended = trying.command(*case.make(tmp_path), folder=tmp_path)
    assert not ended.faults(case.codes), f"{ended.faults(case.codes)}\n{ended.text}"
