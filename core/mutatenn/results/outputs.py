"""The raw outputs of a run, a file of float32 ``[images, classes]`` for each shard that a mutant changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.errors import InputError
from mutatenn.files import load_array, save_array

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

FOLDER = "outputs"
ORIGINAL = "original"
TIMES = "times"
"""The seconds of the original, ``[repeats, images]``."""
AGAIN = ".again"
"""Ends the name of what a mutant gave with another content of memory."""


def name_of(mutant: str, shard: int, *, again: bool = False) -> str:
    """Return the name of what a mutant gave on a shard, with the first content of memory or another."""
    return f"{mutant}.{shard}{AGAIN * again}"


@attrs.frozen
class Outputs:
    """The files below a run directory; the database keeps the digest of each."""

    directory: Path

    def save(self, environment: str, name: str, values: NDArray[np.float32]) -> str:
        """Write a file; return its digest (hex)."""
        return save_array(self._path(environment, name), values)

    def load(
        self, environment: str, name: str, digest: str, images: int | None, classes: int | None
    ) -> NDArray[Any]:
        """Read a file, of these sizes where they are known; raises InfrastructureError if it is damaged."""
        return load_array(self._path(environment, name), digest, images, classes)

    def exist(self) -> bool:
        """Tell whether there are any."""
        return any((self.directory / FOLDER).glob("*/*.npy"))

    def _path(self, environment: str, name: str) -> Path:
        if "/" in name or "\0" in name:  # ids come from plugins and bundles
            raise InputError(f"{name!r} cannot be the id of a mutant; it would name a file elsewhere")
        return self.directory / FOLDER / environment / f"{name}.npy"
