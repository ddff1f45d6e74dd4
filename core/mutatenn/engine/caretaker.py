"""Leaves no process and no temporary file behind, even if a campaign's process is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mutatenn import locks
from mutatenn.engine import isolate, orphans

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "mutatenn-run-"
LOOK_SECONDS = 1.0


@contextlib.contextmanager
def caretaker() -> Iterator[None]:
    """Give the processes that are forked here a folder for temporary files, and see to what they leave.

    That goes at the end, or as soon as this process is dead: a small process of its own waits for that.
    """
    with contextlib.ExitStack() as stack:
        folder = None
        with contextlib.suppress(OSError):  # where nothing can be written, what wants to will do without
            folder = stack.enter_context(_scratch())
        stack.enter_context(_watched(folder))
        yield


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Have child processes put temporary files into a folder of this process, which is locked meanwhile."""
    tidy(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = locks.take(folder)
    token = isolate.scratch.set(str(folder))
    try:
        yield folder
    finally:
        isolate.scratch.reset(token)
        shutil.rmtree(folder, ignore_errors=True)
        locks.release(lock)


def tidy(place: Path) -> None:
    """Remove such folders of this user that no living process has locked."""
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, or gone
            if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                lock = locks.take(folder)
                shutil.rmtree(folder, ignore_errors=True)
                locks.release(lock)


@contextlib.contextmanager
def _watched(folder: Path | None) -> Iterator[None]:
    """Have a process wait for the death of this one; do without if the system gives none."""
    parent = os.getpid()
    orphans.campaign(parent)  # now, for the other process to know it as well
    try:
        with isolate.undisturbed():
            pid = os.fork()
    except OSError:
        yield
        return
    if pid == 0:
        _wait_for_death(parent, folder)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _wait_for_death(parent: int, folder: Path | None) -> NoReturn:
    try:
        os.setsid()  # whoever kills all of the parent's group does not mean this one
        isolate.part_from(set())
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        isolate.signal_at_death(signal.SIGUSR1)
        while os.getppid() == parent:
            signal.sigtimedwait({signal.SIGUSR1}, LOOK_SECONDS)
        orphans.end_campaign(parent)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)
