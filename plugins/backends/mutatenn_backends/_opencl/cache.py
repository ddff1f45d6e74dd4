"""Keeps what PoCL compiles in this user's kernel cache, which has a limit; PoCL's own grows for ever."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from mutatenn import kernel_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "POCL_CACHE_DIR"
SWITCH = "POCL_KERNEL_CACHE"
MARK = "last_accessed"  # in each of PoCL's entries


def use_kernel_cache() -> None:
    """Have PoCL, which is not loaded yet, use the kernel cache, unless the environment names another."""
    if FOLDER in os.environ or SWITCH in os.environ:
        return
    cache = kernel_cache()
    if cache is None:
        os.environ[SWITCH] = "0"
        return
    folder = cache.subfolder("pocl")
    if folder is None:
        os.environ[SWITCH] = "0"
        return
    with contextlib.suppress(OSError):
        os.environ[FOLDER] = str(folder)
        tidy(folder, cache.limit)


def tidy(folder: Path, limit: int) -> None:
    """Drop the entries that were not used for longest until the rest takes at most ``limit`` bytes."""
    entries = sorted(_entries(folder))
    total = sum(size for _, size, _ in entries)
    for _, size, entry in entries:
        if total <= limit:
            break
        shutil.rmtree(entry, ignore_errors=True)
        total -= size


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for mark in folder.glob(f"*/*/{MARK}"):
        with contextlib.suppress(OSError):  # another process has dropped it
            size = sum(each.lstat().st_size for each in mark.parent.rglob("*"))
            yield mark.stat().st_mtime, size, mark.parent
