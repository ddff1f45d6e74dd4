"""Tries in a process of its own what may crash, hang or fill the memory, before it is done in this one."""

from __future__ import annotations

import contextlib
import functools
import logging
import resource
import time
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any

from mutatenn import errors
from mutatenn.engine import isolate
from mutatenn.errors import MutatennError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

POLL_SECONDS = 0.05
IDLE_SECONDS = 0.05  # of processor time

log = logging.getLogger(__name__)


def probe(function: Callable[[], object], seconds: float, memory: int) -> str:
    """Call ``function()`` in a forked process; return what became of that process, "" if all went well.

    It may work for so many seconds and take so many bytes more than this process has. Raises what the
    function raises of :mod:`mutatenn.errors`; other exceptions are left to the caller, who meets them again.
    """
    report, number, used = _try(function, seconds, memory)
    if used < IDLE_SECONDS and report == _late(seconds):  # forked at a bad moment of another thread's, maybe
        report, number, _ = _try(function, seconds, memory)
    if report is None:
        return f"died of {Signals(number).name}" if number else "ended its process"
    if report["error"]:
        kind: type[MutatennError] = getattr(errors, report["error"])
        raise kind(report["text"], *report["problems"])
    return str(report["text"])


def _try(
    function: Callable[[], object], seconds: float, memory: int
) -> tuple[dict[str, Any] | None, int, float]:
    """Return what a process reports, the signal that it died of, and the processor time it used."""
    child = isolate.fork(functools.partial(_work, function), None)
    child.go()
    try:
        report = _follow(child, seconds, _resident("self") + memory)
    finally:
        used = child.cpu_seconds()
        child.kill()  # one that has ended keeps its status
        _, number = child.reap()
    return report, number, used


def _late(seconds: float) -> dict[str, Any]:
    return {"error": "", "text": f"took more than {seconds:.0f} s"}


def _work(function: Callable[[], object], pipe: Connection) -> None:
    kind, text, problems = "", "", tuple[str, ...]()
    try:
        function()
    except MutatennError as error:
        kind, text, problems = type(error).__name__, error.message, error.problems
    except Exception:
        log.debug("raised where it was tried", exc_info=True)
    isolate.send(pipe, error=kind, text=text, problems=problems)


def _follow(child: isolate.Child, seconds: float, memory: int) -> dict[str, Any] | None:
    """Return what a process reports, or None if it ended without."""
    deadline = time.monotonic() + seconds
    while not child.pipe.poll(POLL_SECONDS):
        if time.monotonic() > deadline:
            return _late(seconds)
        if _resident(str(child.pid)) > memory:
            return {"error": "", "text": "took too much memory"}
    with contextlib.suppress(EOFError, OSError, ValueError):
        return isolate.receive(child.pipe)
    return None


def _resident(process: str) -> int:
    """Return the bytes of memory that a process has, 0 for one that has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0
