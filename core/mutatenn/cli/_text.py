"""Plain text for a terminal: aligned columns, nothing that could steer it."""

from __future__ import annotations

import math
import os
import shutil
import sys
from itertools import islice
from typing import TYPE_CHECKING

from mutatenn.printable import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

MIB, GIB = 2**20, 2**30
NARROWEST = 12
"""Columns below which nothing is cut."""
FEW = 4
"""Names that a line has room for."""
RED, GREEN, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def columns(rows: Iterable[Sequence[object]], *, right: Iterable[int] = (), whole: bool = False) -> str:
    """Return rows of equal length as aligned columns; those at the positions ``right`` end flush.

    On a terminal the widest of the others are cut, so that lines fit, unless they are to be ``whole``;
    elsewhere all is there.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    flush = {position % len(widths) for position in right}
    if (room := terminal_width()) is not None and not whole:
        widths = _shrunk(widths, flush, room)
        cells = [[fitted(cell, width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    return "\n".join("  ".join(_padded(row, widths, flush)).rstrip() for row in cells)


def _shrunk(widths: Sequence[int], fixed: set[int], room: int) -> list[int]:
    """Return widths that fit into a line, as far as those that are not fixed can be cut."""
    found = list(widths)
    while sum(found) + 2 * (len(found) - 1) > room:
        able = [position for position in range(len(found)) if position not in fixed]
        widest = max(able, key=found.__getitem__, default=None)
        if widest is None or found[widest] <= NARROWEST:
            break
        found[widest] -= 1
    return found


def _padded(row: Sequence[str], widths: Sequence[int], flush: set[int]) -> Iterable[str]:
    for position, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if position in flush else cell.ljust(width)


def titled(title: str, rows: Sequence[Sequence[object]], *, right: Iterable[int]) -> str:
    """Return rows as :func:`columns` does, indented under a title."""
    return "\n".join([title, *(f"  {line}" for line in columns(rows, right=right).splitlines())])


def terminal_width() -> int | None:
    """Return the columns of the terminal that standard output is; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fitted(text: str, width: int) -> str:
    """Return a line without what does not fit."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def some(names: Collection[str], most: int = FEW) -> str:
    """Return the first names on a line, and how many more there are."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*map(printable, islice(names, most)), *more])


def size(number: float) -> str:
    """Return bytes as ``3 MiB``, ``1.5 GiB``."""
    return f"{number / GIB:.1f} GiB" if number >= GIB else f"{math.ceil(number / MIB)} MiB"


def coloured(diff: str) -> str:
    """Return a unified diff, in colours where standard output is a terminal and NO_COLOR is not set."""
    lines = map(printable, diff.splitlines())
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return "\n".join(lines)
    return "\n".join(f"{_colour(line)}{line}{PLAIN}" if _colour(line) else line for line in lines)


def _colour(line: str) -> str:
    if line.startswith(("+++", "---")):
        return ""
    return {"+": GREEN, "-": RED}.get(line[:1], "")
