"""A limit of address space is kept to, and one that is too low is told in one line."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def run_within(tmp_path: Path, write: Callable[..., Path]) -> Callable[[int], tuple[int, str, str]]:
    """Return a function that runs a mutant within so many bytes of address space."""
    program = [sys.executable, "-m", "mutatenn", "run", str(write()), "--out", str(tmp_path / "run")]

    def run_within(size: int) -> tuple[int, str, str]:
        done = subprocess.run(
            [*program, "--only", "store-int16"],
            text=True,
            capture_output=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
        )
        return done.returncode, done.stdout, done.stderr

    return run_within


def test_a_mutant_may_take_what_the_system_allows(run_within: Callable[[int], tuple[int, str, str]]) -> None:
    """Less than the campaign's limit."""
    code, out, err = run_within(3 * 2**29)
    assert (code, err) == (0, "")
    assert "infrastructure-error" not in out


def test_too_little_to_load_everything_is_told(run_within: Callable[[int], tuple[int, str, str]]) -> None:
    code, _, err = run_within(300 * 2**20)
    assert code == 4
    assert err.startswith("mutatenn: error: ")
    assert "address space (ulimit -v)" in err
    assert err.count("\n") == 1
