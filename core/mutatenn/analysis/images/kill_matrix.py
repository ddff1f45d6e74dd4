"""The kill matrix: which image kills which mutant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.api.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mutatenn.results.run import Run

ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
"""How many bits of each byte are set."""

BLOCK = 8192  # rows unpacked at a time, a multiple of 8


@attrs.frozen(eq=False)
class KillMatrix:
    """Which image of one environment kills which mutant, a bit for each pair.

    ``mutants`` are the valid ones that have a verdict, in the plan's order, ``statuses`` how they ended;
    ``images`` are in the order of every output array. ``bits`` is uint8 ``[mutants, ceil(images / 8)]`` as
    ``numpy.packbits`` makes it: 100,000 mutants on 1000 images take 12.5 MB. A mutant that crashed, timed out
    or was killed by its outputs as a whole (``degenerate``) is detected, but has no bit set.
    """

    environment: str
    images: tuple[str, ...]
    mutants: tuple[str, ...]
    statuses: tuple[Status, ...]
    bits: NDArray[np.uint8]

    def dense(self) -> NDArray[np.bool_]:
        """Return the matrix, bool ``[mutants, images]``: a byte for each pair."""
        return unpacked(self.bits, len(self.images))

    def by_image(self) -> NDArray[np.uint8]:
        """Return the transposed matrix, packed: uint8 ``[images, ceil(mutants / 8)]``."""
        return transposed(self.bits, len(self.images))

    def kills(self) -> NDArray[np.int64]:
        """Return how many mutants each image kills, int64 ``[images]``."""
        return counted(self.by_image())

    def killed(self) -> NDArray[np.int64]:
        """Return how many images kill each mutant, int64 ``[mutants]``."""
        return counted(self.bits)


def kill_matrix(run: Run, environment: str) -> KillMatrix:
    """Return the kill matrix of an environment, reading the verdicts one by one."""
    images, found = run.image_names, run.statuses(environment)
    mutants = tuple(name for name in run.mutants_of(environment) if name in found and found[name].valid)
    rows = {name: row for row, name in enumerate(mutants)}
    columns = {name: column for column, name in enumerate(images)}
    bits = np.zeros((len(mutants), -(-len(images) // 8)), np.uint8)
    for verdict in run.verdicts(environment, Status.KILLED):
        if verdict.mutant in rows:  # one that the run, still going on, has added since is not
            bits[rows[verdict.mutant]] = packed(
                (columns[name] for name in verdict.killed_images), len(images)
            )
    return KillMatrix(environment, images, mutants, tuple(found[name] for name in mutants), bits)


def packed(positions: Iterable[int], size: int) -> NDArray[np.uint8]:
    """Return one row of ``size`` bits with those at ``positions`` set, uint8 ``[ceil(size / 8)]``."""
    row = np.zeros(size, bool)
    row[list(positions)] = True
    return np.packbits(row)


def unpacked(bits: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """Return rows of bits as bool ``[rows, size]``."""
    return np.unpackbits(bits, axis=1, count=size).view(bool)


def transposed(bits: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return rows of ``size`` bits transposed, uint8 ``[size, ceil(rows / 8)]``."""
    result = np.zeros((size, -(-len(bits) // 8)), np.uint8)
    for start in range(0, len(bits), BLOCK):
        part = np.packbits(unpacked(bits[start : start + BLOCK], size).T, axis=1)
        result[:, start // 8 : start // 8 + part.shape[1]] = part
    return result


def counted(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many bits of each row are set, int64 ``[rows]``."""
    counts: NDArray[np.int64] = ONES[bits].sum(axis=1, dtype=np.int64)
    return counts
