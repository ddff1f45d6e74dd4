"""Locks of files and folders that end with the process that took them, whatever it has started."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_held: set[int] = set()


def take(path: Path) -> int:
    """Return a lock of a file, which is created, or of a folder; raises BlockingIOError if another has it."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    lock = os.open(path, flags | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    _held.add(lock)
    return lock


def release(lock: int) -> None:
    """Give a lock back, unless that has been done."""
    if lock in _held:
        _held.remove(lock)
        os.close(lock)


def _release_all() -> None:
    for lock in list(_held):
        release(lock)


# What a forked process inherits of a lock would hold it for as long as that lives.
os.register_at_fork(after_in_child=_release_all)
