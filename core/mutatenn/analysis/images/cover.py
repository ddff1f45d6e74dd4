"""The smallest set of images that kills whatever some image kills: a minimum set cover."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

from mutatenn.analysis.images.kill_matrix import counted, packed, transposed, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bits = NDArray[np.uint8]

SECONDS = 10.0  # for the integer program
ENTRIES = 1_000_000  # bits set in what it is given; a larger one is not tried
WORK = 2**34  # bytes read to find rows that contain others: some seconds


@attrs.frozen
class Cover:
    """Column numbers ``images`` that together have a bit in every row that has any.

    They are in the order in which each adds most rows to those before it. ``method`` says what found them.
    No set is smaller than ``lower_bound``; ``greedy`` is the size of what the greedy search found.
    """

    images: tuple[int, ...]
    lower_bound: int
    greedy: int
    method: Literal["greedy", "milp"]

    @property
    def minimal(self) -> bool:
        """Whether no smaller set exists, proven."""
        return len(self.images) == self.lower_bound


def smallest_cover(bits: Bits, size: int, seconds: float = SECONDS) -> Cover:
    """Return a smallest set of columns that has a bit in every row that has any, or a small one.

    ``bits`` are rows of ``size`` bits, uint8 ``[rows, ceil(size / 8)]``. Rows and columns that others make
    superfluous are left out first, which does not change the size of the answer. On what is left the greedy
    search works (Chvatal 1979), and where no simple bound proves its answer, an integer program for up to
    ``seconds``, if it is not too large. Of equally good columns the first is taken.
    """
    forced, core = _reduced(_distinct(bits), size)
    greedy = _greedy(core, size)
    bound = _disjoint(core)
    best, method = greedy, "greedy"
    if bound < len(greedy) and counted(core).sum() <= ENTRIES:
        found, proven = _solve(core, size, seconds)
        bound = max(bound, proven)
        if len(found) < len(greedy):
            best, method = found, "milp"
    above = dominators(bits, size)  # of columns alike on the core, those that are no others' shadow
    chosen = dict.fromkeys(
        int(above[column]) if above[column] >= 0 else column for column in [*forced, *best]
    )
    images = _by_gain(transposed(bits, size), list(chosen))
    extra = len(forced)
    return Cover(images, bound + extra, len(greedy) + extra, method)  # type: ignore[arg-type]  # one of the two


def dominators(bits: Bits, size: int) -> NDArray[np.intp]:
    """Return for each column another that has all its bits, intp ``[size]``; -1 for none.

    Of equal columns, only the first has none. The one returned has none itself: it has the most bits of all
    fitting ones, and is the first of these. A column without bits has none: it is no use anyway.
    """
    columns = transposed(bits, size)
    counts = counted(columns)
    result = np.full(size, -1, np.intp)
    for column in np.flatnonzero(counts):
        rows = bits[np.unpackbits(columns[column], count=len(bits)).view(bool)]
        common = np.bitwise_and.reduce(rows, axis=0, keepdims=True)
        having = np.flatnonzero(unpacked(common, size)[0])
        best = having[np.argmax(counts[having])]
        result[column] = best if best != column else -1
    return result


def _distinct(bits: Bits) -> Bits:
    """Return the different rows that have a bit, fewest bits first."""
    rows = bits[bits.any(axis=1)]
    first: dict[bytes, int] = {}
    for index, row in enumerate(rows):
        first.setdefault(row.tobytes(), index)
    rows = rows[np.fromiter(first.values(), np.intp)]
    return rows[np.argsort(counted(rows), kind="stable")]


def _reduced(rows: Bits, size: int) -> tuple[list[int], Bits]:
    """Return the columns that every smallest cover may be taken to have, and what they leave to cover."""
    forced: list[int] = []
    while True:
        before = rows
        single = np.bitwise_or.reduce(rows[counted(rows) == 1], axis=0, keepdims=True)
        forced += np.flatnonzero(unpacked(single, size)[0]).tolist()
        rows = rows[~(rows & single).any(axis=1)]
        rows = _distinct(rows & packed(np.flatnonzero(dominators(rows, size) < 0), size))
        rows = rows[~_containing(rows, size)]
        if np.array_equal(rows, before):
            return forced, rows


def _containing(rows: Bits, size: int) -> NDArray[np.bool_]:
    """Tell which rows contain another row, bool ``[rows]``; stops looking after a bounded amount of work.

    Whatever covers the other row covers them too. ``rows`` differ and have the fewest bits first.
    """
    columns = transposed(rows, size)
    result = np.zeros(len(rows), bool)
    work = 0
    for index, row in enumerate(rows):
        if result[index]:  # what contains it also contains what it contains
            continue
        members = np.flatnonzero(np.unpackbits(row, count=size))
        work += len(members) * columns.shape[1] + len(rows)
        if work > WORK:
            break
        found = np.unpackbits(np.bitwise_and.reduce(columns[members], axis=0), count=len(rows)).view(bool)
        result[index + 1 :] |= found[index + 1 :]
    return result


def _greedy(rows: Bits, size: int) -> list[int]:
    """Return columns that cover all rows, each time the one that covers most, without the superfluous."""
    columns = transposed(rows, size)
    missing = np.packbits(np.ones(len(rows), bool))
    chosen: list[int] = []
    while missing.any():
        chosen.append(int(np.argmax(counted(columns & missing))))
        missing &= ~columns[chosen[-1]]
    return _needed(columns, chosen, len(rows))


def _needed(columns: Bits, chosen: list[int], rows: int) -> list[int]:
    """Return the chosen columns without those whose rows the others cover, the last looked at first."""
    having = {column: np.unpackbits(columns[column], count=rows).view(bool) for column in chosen}
    times = np.sum([np.zeros(rows, np.int64), *having.values()], axis=0)
    for column in reversed(chosen):
        if times[having[column]].min() > 1:
            times -= having.pop(column)
    return list(having)


def _disjoint(rows: Bits) -> int:
    """Return how many rows share no column with each other: so many columns are needed at least."""
    used = np.zeros(rows.shape[1], np.uint8)
    found = 0
    for row in rows:
        if not (row & used).any():
            used |= row
            found += 1
    return found


def _solve(rows: Bits, size: int, seconds: float) -> tuple[list[int], int]:
    """Return a cover and the proven bound of the integer program; every column if it found no cover."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    columns = np.flatnonzero(unpacked(np.bitwise_or.reduce(rows, axis=0, keepdims=True), size)[0])
    matrix = unpacked(rows, size)[:, columns]
    result = milp(
        np.ones(len(columns)),
        integrality=np.ones(len(columns)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(csr_array(matrix, dtype=np.float64), lb=1),
        options={"time_limit": seconds, "mip_rel_gap": 0},
    )
    proven = result.mip_dual_bound
    bound = math.ceil(proven - 1e-6) if proven is not None and math.isfinite(proven) else 0
    taken = columns if result.x is None else columns[result.x > 0.5]  # noqa: PLR2004  # it is 0 or 1
    covers = matrix[:, np.isin(columns, taken)].any(axis=1).all()
    return (taken if covers else columns).tolist(), bound


def _by_gain(columns: Bits, chosen: list[int]) -> tuple[int, ...]:
    """Return the chosen columns in the order in which each adds most rows to those before it."""
    left, ordered = sorted(chosen), []
    missing = np.full(columns.shape[1], 255, np.uint8)
    while left:
        best = left.pop(int(np.argmax(counted(columns[left] & missing))))
        missing &= ~columns[best]
        ordered.append(best)
    return tuple(ordered)
