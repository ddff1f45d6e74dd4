"""What stands in memory that nothing was written to, the same on every device and in every run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.api.values import TensorSpec

GUARD = 4096
"""Bytes of each of the two guards around a tensor, which make small out-of-bounds accesses repeatable."""
GUARD_BYTE = 0x3F
"""What guards are full of: 0.747 as float32, so that who reads out of bounds sees a plain number."""
ALIGNMENT = 64
"""Bytes: what code generated for processors assumes of a tensor's address."""
SKETCHED = 16  # elements


@functools.cache
def poison(dtype: np.dtype[Any]) -> np.generic:
    """Return what a poisoned tensor is full of: NaN, the largest integer, or true."""
    value = np.nan if dtype.kind == "f" else np.iinfo(dtype).max if dtype.kind in "iu" else 1
    scalar: np.generic = dtype.type(value)
    return scalar


def between_guards(size: int, alignment: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the host's memory with ``size`` bytes of whatever content between guards, and these bytes."""
    whole = np.empty(size + 2 * GUARD + alignment - 1, np.uint8)
    start = GUARD + -(whole.ctypes.data + GUARD) % alignment
    whole[:start] = GUARD_BYTE
    whole[start + size :] = GUARD_BYTE
    return whole, whole[start : start + size]


def sketched(elements: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a view of a few elements of a flat array, spread over it, for :meth:`Device.sketch`."""
    stride = max(1, elements.size // SKETCHED)
    return elements[stride // 2 :: stride][:SKETCHED]


@attrs.frozen
class Memory:
    """A content, as 32-bit words: ``guard`` around every buffer, ``poison`` where nothing is written.

    A kernel with a fault runs under two of them; where its results differ it read what it must not.
    """

    guard: int
    poison: int

    def words(self, zeros: int) -> NDArray[np.int32]:
        """Return the two words with some zeros behind them: a kernel's monitor, no flag raised."""
        return np.array([self.guard, self.poison, *[0] * zeros], np.uint32).view(np.int32)

    def unwritten(self, spec: TensorSpec) -> NDArray[np.generic]:
        """Return a tensor's content before anything is written to it."""
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "b":
            return np.full(spec.shape, self.poison % 2, dtype)
        words = np.full(-(-spec.nbytes // 4), self.poison, np.uint32)
        return words.view(np.uint8)[: spec.nbytes].view(dtype).reshape(spec.shape)


FIRST = Memory(int.from_bytes(bytes([GUARD_BYTE] * 4), "little"), 0x7FFFFFFF)
"""As devices have it: the guards' bytes; NaN, or the largest integer, where nothing is written."""
SECOND = Memory(0xBFBFBFBF, 0x40490FDB)
"""As different as can be, and as plain: -1.5 and 3.14."""
