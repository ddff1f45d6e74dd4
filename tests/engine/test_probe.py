"""What a process that is only tried may do, and what is said of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial

import pytest

from mutatenn import InputError
from mutatenn.engine.probe import probe

MEGABYTE = 2**20


def fill() -> None:
    kept = bytearray(800 * MEGABYTE)
    kept[:: 4 * 1024] = b"x" * len(kept[:: 4 * 1024])
    time.sleep(60)


@pytest.mark.parametrize(
    ("function", "ending"),
    [
        (lambda: "anything", ""),
        (lambda: 1 / 0, ""),  # met again, where it is done
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "died of SIGSEGV"),
        (lambda: os._exit(0), "ended its process"),
        (partial(time.sleep, 60), "took more than 1 s"),
        (fill, "took too much memory"),
    ],
)
def test_what_became_of_it(function: Callable[[], object], ending: str) -> None:
    seconds = 1.0 if "1 s" in ending else 60.0
    assert probe(function, seconds, 200 * MEGABYTE) == ending


def test_an_error_of_ours_is_raised_with_all_its_problems() -> None:
    def refuse() -> None:
        raise InputError("two problems", "one", "other")

    with pytest.raises(InputError) as caught:
        probe(refuse, 60.0, 200 * MEGABYTE)
    assert (caught.value.message, caught.value.problems) == ("two problems", ("one", "other"))


def test_an_end_that_nobody_caught_is_told() -> None:
    def leave() -> None:
        raise SystemExit(0)

    assert probe(leave, 60.0, 200 * MEGABYTE) == "ended its process"
