"""Finds the files that a pattern matches, in bounded time whatever the folders hold."""

from __future__ import annotations

import fnmatch
import glob
import os
from typing import TYPE_CHECKING

from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ENTRIES = 2_000_000
"""Files and folders that are looked at for one pattern."""
ANY_DEPTH = "**"


def files(pattern: str) -> Iterator[str]:
    """Yield the files, each once, that an absolute glob pattern matches.

    As of :mod:`glob`, hidden ones only where the pattern says so; ``**`` crosses folders, but does not follow
    links to folders, which may lead round in circles. Raises InputError where there is too much to look at.
    """
    search = _Search(pattern)
    return (path for path in search.below(os.sep, tuple(part for part in pattern.split(os.sep) if part)))


class _Search:
    """One look through the folders, each at each part of the pattern once."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._looked = 0
        self._seen: set[tuple[str, int]] = set()

    def below(self, path: str, parts: tuple[str, ...]) -> Iterator[str]:
        """Yield the files below a path that match what is left of the pattern."""
        if (path, len(parts)) in self._seen:
            return
        self._seen.add((path, len(parts)))
        self._look()
        if not parts:
            if os.path.isfile(path):
                yield path
        elif parts[0] == ANY_DEPTH:
            yield from self.below(path, parts[1:])
            for entry in self._entries(path, "*"):
                if entry.is_dir(follow_symlinks=False):
                    yield from self.below(entry.path, parts)
                elif len(parts) == 1:
                    yield from self.below(entry.path, ())
        elif glob.has_magic(parts[0]):
            for entry in self._entries(path, parts[0]):
                if len(parts) == 1 or os.path.isdir(entry.path):
                    yield from self.below(entry.path, parts[1:])
        else:
            yield from self.below(os.path.join(path, parts[0]), parts[1:])

    def _entries(self, path: str, pattern: str) -> Iterator[os.DirEntry[str]]:
        try:
            found = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError:  # no folder, or not ours to read: nothing in it matches
            return
        hidden = pattern.startswith(".")
        for entry in found:
            self._look()
            if fnmatch.fnmatchcase(entry.name, pattern) and (hidden or not entry.name.startswith(".")):
                yield entry

    def _look(self) -> None:
        self._looked += 1
        if self._looked > MOST_ENTRIES:
            raise InputError(
                f"more than {MOST_ENTRIES} files and folders to look at for "
                f"{os.path.basename(self._pattern)!r}; give a narrower pattern"
            )
