"""Atomic writes of the files in a run directory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mutatenn.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

TEMPORARY = re.compile(r"\..+\.([0-9]{1,10})\.tmp")
LARGEST = 2**31
"""Bytes of one file: more is none of ours."""


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that is either absent, or as it was, or whole, whenever the process dies.

    Folders above it are made. Whatever the body raises leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # never through a link that somebody has put there
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either absent or whole, whenever the process dies."""
    with whole(path) as file:
        file.write(content)


def drop_leftovers(folder: Path) -> None:
    """Remove the temporary files that dead processes left in a folder and those below it."""
    for place, _, names in os.walk(folder):
        for name in names:
            found = TEMPORARY.fullmatch(name)
            if found and not _lives(int(found[1])):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(place, name))


def _lives(process: int) -> bool:
    return process != os.getpid() and os.path.exists(f"/proc/{process}")


def save_array(path: Path, array: NDArray[Any]) -> str:
    """Write an array as ``.npy``; return the digest (hex) of the file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    content = buffer.getvalue()
    write_atomically(path, content)
    return _digest(content)


def load_array(path: Path, digest: str, rows: int | None = None, columns: int | None = None) -> NDArray[Any]:
    """Read a float32 array of two dimensions, of these sizes where they are known.

    Raises InfrastructureError if the file is gone or is not what was written.
    """
    content = read_file(path)
    array = _parsed(content) if _digest(content) == digest else None
    if array is None or array.dtype != np.float32 or not _is_of(array.shape, rows, columns):
        raise InfrastructureError(f"{path} is damaged; delete the run directory and run the campaign again")
    return array


def _is_of(shape: tuple[int, ...], *sizes: int | None) -> bool:
    return len(shape) == len(sizes) and all(
        want in (None, has) for want, has in zip(sizes, shape, strict=True)
    )


def read_file(path: Path, most: int = LARGEST) -> bytes:
    """Return what a file of the run directory holds; raises InfrastructureError if it cannot be read."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > most:
            raise InfrastructureError(
                f"{path} is damaged; delete the run directory and run the campaign again"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InfrastructureError(f"{path} cannot be read: {why}; run the campaign again") from None


def _parsed(content: bytes) -> NDArray[Any] | None:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:  # numpy raises many types for what is no array
        return None
    return array if isinstance(array, np.ndarray) else None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
