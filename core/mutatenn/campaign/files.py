"""Atomic writes of the files in a run directory."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


TEMPORARY = ".*.tmp"
"""The pattern of names that files have while they are written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either absent or whole, whenever the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def save_array(path: Path, array: NDArray[Any]) -> str:
    """Write an array as ``.npy``; return the digest (hex) of the file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    content = buffer.getvalue()
    write_atomically(path, content)
    return _digest(content)


def load_array(path: Path, digest: str) -> NDArray[Any]:
    """Read an array; raises InfrastructureError if the file is gone or is not what was written."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InfrastructureError(
            f"{path} cannot be read: {error.strerror}; run the campaign again"
        ) from None
    if _digest(content) != digest:
        raise InfrastructureError(f"{path} is damaged; delete the run directory and run the campaign again")
    array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
