"""Opens a run directory for writing: one campaign, one process at a time."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from mutatenn import locks
from mutatenn.campaign.config.values import dump
from mutatenn.campaign.execution import provenance
from mutatenn.campaign.execution.differences import differences
from mutatenn.errors import InputError
from mutatenn.files import drop_leftovers, write_atomically
from mutatenn.results.outputs import FOLDER as OUTPUTS
from mutatenn.results.run import CAMPAIGN_FILE
from mutatenn.results.store import DATABASE, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn.campaign.execution.setup import Setup

LOCK = ".lock"


@contextlib.contextmanager
def open_run_directory(path: Path, setup: Setup) -> Iterator[Store]:
    """Open the database of a campaign's run, creating it if needed, and hold it against other processes.

    Raises InputError if the directory
    cannot be written, holds something else, belongs to another configuration, or is in use.
    """
    with contextlib.ExitStack() as held:
        try:
            path.mkdir(parents=True, exist_ok=True)
            _check_ours(path)
            held.enter_context(_locked(path))
            drop_leftovers(path)
            store = held.enter_context(contextlib.closing(_store(path, setup)))
        except OSError as error:
            raise InputError(
                f"cannot write run directory {path}: {error.strerror}; choose another with --out"
            ) from None
        try:
            yield store
        except BaseException:
            drop_leftovers(path)  # of mutants that were ended in the middle of writing
            raise


def _check_ours(path: Path) -> None:
    others = sorted(entry.name for entry in path.iterdir() if entry.name != LOCK)
    if others and DATABASE not in others:
        raise InputError(f"{path} is no run directory and not empty ({others[0]}, ...); choose another --out")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        lock = locks.take(path / LOCK)
    except BlockingIOError:
        raise InputError(f"run directory {path} is in use by another process; wait for it to end") from None
    try:
        yield
    finally:
        locks.release(lock)


def _store(path: Path, setup: Setup) -> Store:
    campaign, identity = setup.campaign, provenance.identity(setup)
    store = _reopened(path, identity) if (path / DATABASE).exists() else None
    if store is None:
        store = Store.create(path)  # first: a folder with the database is ours, whatever else is missing yet
        write_atomically(path / CAMPAIGN_FILE, dump(campaign).encode())
        return store
    if store.meta("identity") != identity:
        told = differences(setup, store, path / CAMPAIGN_FILE)
        store.close()
        raise InputError(
            f"run directory {path} was made from another configuration, model or images "
            f"({told or 'it does not say which'}); choose another with --out, or delete it"
        )
    write_atomically(path / CAMPAIGN_FILE, dump(campaign).encode())  # what does not decide may have changed
    return store


def _reopened(path: Path, identity: str) -> Store | None:
    """Return an earlier run's store, or None if nothing is lost by beginning anew.

    That is when the run ended before it had a plan, or when another configuration ended before any mutant
    had run, most likely at the baseline gate.
    """
    store = Store.open(path, write=True)
    if store.began() and (store.meta("identity") == identity or not store.empty()):
        return store
    store.close()
    if (path / OUTPUTS).exists():  # first: they must not outlive what tells of them
        shutil.rmtree(path / OUTPUTS)
    for leftover in path.glob(f"{DATABASE}*"):
        leftover.unlink()
    return None
