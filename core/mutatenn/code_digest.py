"""Identifies Python code by its content, for what is remembered of its results."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path


@functools.cache
def source_digest(file: str) -> str:
    """Return the digest (hex) of all Python files in the folder of a module's ``__file__``, and below it."""
    folder = Path(file).parent
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()
