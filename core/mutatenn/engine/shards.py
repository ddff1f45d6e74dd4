"""Which images run together: as many as memory can keep the original's values of."""

from __future__ import annotations


def shards(images: int, size: int) -> list[slice]:
    """Return the shards of so many images, ``size`` images each but for the last."""
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]
