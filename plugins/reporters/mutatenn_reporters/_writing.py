"""Files of reporters: whole or not there, and an error with a cure where they cannot be."""

from __future__ import annotations

import contextlib
from typing import IO, TYPE_CHECKING

from mutatenn import InputError, whole
from mutatenn_reporters._text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that will be whole or not there; raises InputError if it cannot be written."""
    try:
        with whole(path) as file:
            yield file
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from None


def write(path: Path, text: str) -> str:
    """Write a file; return the line that says where it is. Raises InputError if it cannot be written."""
    with writing(path) as file:
        file.write(text.encode())
    return wrote(path)


def wrote(path: Path) -> str:
    """Return the line that says where a file is."""
    return f"wrote {clean(path)}"
