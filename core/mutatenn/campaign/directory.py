"""Opens a run directory for writing: one campaign, one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from mutatenn.campaign.config import dump
from mutatenn.campaign.files import write_atomically
from mutatenn.campaign.run import CAMPAIGN_FILE, Run
from mutatenn.campaign.store import DATABASE, Store
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn.campaign.config import Campaign

LOCK = ".lock"


@contextlib.contextmanager
def open_run_directory(path: Path, campaign: Campaign, identity: str) -> Iterator[Run]:
    """Open the run of a campaign, creating it if needed, and hold it against other processes.

    ``identity`` is a digest of everything that decides the results. Raises InputError if the directory
    cannot be written, holds something else, belongs to another configuration, or is in use.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            store = _store(path, campaign, identity)
            try:
                yield Run(path, store)
            finally:
                store.close()
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"cannot write run directory {path}: {error.strerror}; choose another with --out"
        ) from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(f"run directory {path} is in use by another process; wait for it to end") from None
    finally:
        os.close(lock)


def _store(path: Path, campaign: Campaign, identity: str) -> Store:
    if not (path / DATABASE).exists():
        others = sorted(entry.name for entry in path.iterdir() if entry.name != LOCK)
        if others:
            raise InputError(
                f"{path} is no run directory and not empty ({others[0]}, ...); choose another with --out"
            )
        return _create(path, campaign, identity)
    store = _reopened(path)
    if store is None:
        return _create(path, campaign, identity)
    if store.meta("identity") != identity:
        store.close()
        raise InputError(
            f"run directory {path} was made from another configuration, model or images; choose another with --out, "
            "or delete it"
        )
    return store


def _reopened(path: Path) -> Store | None:
    """Return an earlier run's store, or None if it died before it had begun (nothing is lost then)."""
    store = Store.open(path, write=True)
    if store.began():
        return store
    store.close()
    for leftover in path.glob(f"{DATABASE}*"):
        leftover.unlink()
    return None


def _create(path: Path, campaign: Campaign, identity: str) -> Store:
    write_atomically(path / CAMPAIGN_FILE, dump(campaign).encode())
    store = Store.create(path)
    store.set_meta(identity=identity)
    return store
