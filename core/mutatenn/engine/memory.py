"""What a mutant finds in memory that it must not read: under two contents its results are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.compiler.monitor import WORDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.api.values import TensorSpec


@attrs.frozen
class Memory:
    """A content, as 32-bit words: ``guard`` around every buffer, ``poison`` where nothing is written."""

    guard: int
    poison: int

    def monitor(self, accesses: int) -> NDArray[np.int32]:
        """Return the monitor of a kernel with so many accesses to watch, no flag raised."""
        words = np.zeros(WORDS + 2 * accesses, np.uint32)
        words[:WORDS] = self.guard, self.poison
        return words.view(np.int32)

    def unwritten(self, spec: TensorSpec) -> NDArray[np.generic]:
        """Return a tensor's content before anything is written to it."""
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "b":
            return np.full(spec.shape, self.poison % 2, dtype)
        words = np.full(-(-spec.nbytes // 4), self.poison, np.uint32)
        return words.view(np.uint8)[: spec.nbytes].view(dtype).reshape(spec.shape)


FIRST = Memory(0x3F3F3F3F, 0x7FFFFFFF)
"""As devices have it: 0.747 around every tensor; NaN, or the largest integer, where nothing is written."""
SECOND = Memory(0xBFBFBFBF, 0x40490FDB)
"""As different as can be, and as plain: -1.5 and 3.14."""
