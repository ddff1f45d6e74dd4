"""Calls the command in a process that may crash, hang or fill the memory, and looks at what it said."""

from __future__ import annotations

import logging
import os
import re
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

SECONDS = 120.0  # twenty are enough for every case on a machine that does nothing else
BYTES = 2 * 2**30
ROOM = 12 * 2**30  # of address space, so that a case that goes wrong does no harm
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LONGEST_LINE = 2000


@attrs.frozen
class Ended:
    """How a command ended: exit code (negative for a signal), all it printed, seconds, bytes of memory."""

    code: int
    text: str
    seconds: float
    bytes: int

    def faults(self, codes: Sequence[int]) -> list[str]:
        """Return what is wrong with the way it ended, where one of these exit codes is honest."""
        lines = self.text.splitlines()
        found = {
            f"exit code {self.code}": self.code not in codes,
            "a traceback": "Traceback (most recent call last)" in self.text,
            "a control character": CONTROL.search(self.text) is not None,
            "a line without an end": max(map(len, lines), default=0) > LONGEST_LINE,
            "no reason given": self.code == 2 and "error: " not in self.text,
            f"{self.bytes / 2**30:.1f} GiB": self.bytes > BYTES,
        }
        return [fault for fault, is_so in found.items() if is_so]


def command(*argv: object, folder: Path, set_up: Callable[[], None] = lambda: None) -> Ended:
    """Call the command in a folder; ``set_up`` is called before it, in its process."""
    printed = folder / ".printed"
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        _child([str(each) for each in argv], folder, printed, set_up)
    status, usage = _wait(pid, began + SECONDS)
    text = printed.read_bytes().decode(errors="backslashreplace")
    seconds = time.monotonic() - began
    return Ended(os.waitstatus_to_exitcode(status), text, seconds, usage.ru_maxrss * 1024)


def _wait(pid: int, deadline: float) -> tuple[int, resource.struct_rusage]:
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)


def _child(argv: list[str], folder: Path, printed: Path, set_up: Callable[[], None]) -> None:
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        output = os.open(printed, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(output, 1), os.dup2(output, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
        warnings.resetwarnings()
        logging.root.handlers.clear()  # pytest's own
        code = _call(argv, set_up)
        sys.stdout.flush(), sys.stderr.flush()
    finally:
        os._exit(code)


def _call(argv: list[str], set_up: Callable[[], None]) -> int:
    from mutatenn.cli.main import main

    try:
        set_up()
        return main(argv)
    except SystemExit as end:  # of argparse
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 70
