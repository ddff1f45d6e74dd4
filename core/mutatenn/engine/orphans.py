"""Ends the processes that a mutant's process leaves behind, wherever they hide.

Each process of a mutant wears a mark that all it starts inherit, through any number of forks, sessions and
programs: its limit of file locks, which the kernel has not looked at since Linux 2.4, and which only a
privileged process can raise again.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import resource
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

RLIMIT_LOCKS = 10
MOST = 64
"""Processes that a mutant may have at a time; the compiler needs two or three."""
SHARE = 50
"""Looking for processes takes at most one part in so many of the time."""
PATIENCE = 5.0
"""Seconds that killed processes get to be gone."""
HERD_BITS, SERIAL_BITS = 12, 24
_herds = itertools.count()


@functools.cache
def campaign(pid: int) -> int:  # noqa: ARG001  # a fork inherits the cache, and wants a number of its own
    """Return a number of 25 bits with which the marks of a process's children begin."""
    return 1 << 24 | int.from_bytes(os.urandom(3), "big")


def wear(mark: int) -> None:
    """Have this process, and all that it will start, wear a mark, unless they wear another's already."""
    with contextlib.suppress(OSError, ValueError):  # a system without; groups are ended all the same
        if resource.getrlimit(RLIMIT_LOCKS)[1] == resource.RLIM_INFINITY:
            resource.setrlimit(RLIMIT_LOCKS, (mark, mark))


@attrs.define(eq=False)
class Herd:
    """The processes of the mutants that run together, each with what it starts."""

    _own: int = attrs.field(init=False)
    _serials: itertools.count[int] = attrs.field(init=False, factory=functools.partial(itertools.count, 1))
    _next_look: float = attrs.field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self._own = campaign(os.getpid()) << HERD_BITS | next(_herds) % (1 << HERD_BITS)

    def mark(self) -> int:
        """Return a new mark."""
        return self._own << SERIAL_BITS | next(self._serials) % (1 << SERIAL_BITS)

    def look(self, running: Collection[int]) -> set[int]:
        """Kill what those have left behind that run no more, now and then; ``running`` are the others' marks.

        Return the marks of which there are too many; those are killed as well.
        """
        start = time.monotonic()
        if start < self._next_look:
            return set()
        found = _marked(self._own, SERIAL_BITS)
        crowds = {mark for mark, pids in found.items() if mark in running and len(pids) > MOST}
        kill(pid for mark, pids in found.items() if mark in crowds or mark not in running for pid in pids)
        now = time.monotonic()
        self._next_look = now + SHARE * (now - start)
        return crowds

    def end(self) -> None:
        """Kill all that is left."""
        _end(self._own, SERIAL_BITS)


def end_campaign(pid: int) -> None:
    """Kill all that the children of a process have started, and themselves."""
    _end(campaign(pid), HERD_BITS + SERIAL_BITS)


def _end(number: int, shift: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        alive = [pid for pids in _marked(number, shift).values() for pid in pids if not _is_dead(pid)]
        if not alive:
            return
        kill(alive)
        time.sleep(0.001)


def kill(pids: Iterable[int]) -> None:
    """Kill processes that may be gone by now."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _marked(number: int, shift: int) -> dict[int, list[int]]:
    """Return the processes, by mark, whose marks begin with a number."""
    found: dict[int, list[int]] = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):  # gone, or somebody else's
                _, mark = resource.prlimit(int(name), RLIMIT_LOCKS)
                if mark >> shift == number:
                    found[mark].append(int(name))
    return found


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (OSError, IndexError):
        return True
