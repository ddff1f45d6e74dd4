"""Tables of results: what reporters write, and pictures are drawn from."""

from __future__ import annotations

import math
from typing import Literal

import attrs
import numpy as np

from mutatenn.analysis.picture import Picture, cut, framed, plain_numbers
from mutatenn.errors import InputError
from mutatenn.results.notebook import html_table

Cell = str | float | None
"""Text such as ``FAILED``, a number, or nothing."""
NOTHING = "-"
ROWS, COLUMNS = 120, 60
"""Of a table that a picture has room for."""
DARK = 0.7
"""Of the darkest shade: text is white there."""


@attrs.frozen
class Table:
    """A table: the first ``keys`` cells of a row name it, the others are what was found.

    ``name`` is fit for a file. ``drawn`` tells how it is drawn: ``shades`` is a heat map of its cells,
    ``boxes`` takes five numbers of a row (lower whisker, quartiles, upper whisker), ``lines`` has a line for
    each column.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    keys: int = 1
    drawn: Literal["shades", "boxes", "lines"] | None = None

    def texts(self) -> list[list[str]]:
        """Return its rows as they are printed: numbers with three digits, ``-`` for nothing."""
        return [[printed(cell) for cell in row] for row in self.rows]

    def plot(self) -> Picture:
        """Draw it. Raises InputError where matplotlib is not installed, and for one that is not drawn."""
        draw = {"shades": _shades, "boxes": _boxes, "lines": _lines}.get(self.drawn or "")
        if draw is None:
            raise InputError(f"table {self.name!r} is not drawn; it is text")
        return draw(self)

    def _repr_html_(self) -> str:
        return html_table(self.title, self.head, self.texts())


def printed(cell: Cell) -> str:
    """Return a cell as text: a number with three digits, or as many as it has before the point."""
    if cell is None:
        return NOTHING
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or not math.isfinite(cell):
        return str(cell)
    if cell and abs(cell) < 1e-4:  # noqa: PLR2004  # zeros nobody counts
        return f"{cell:.3g}"
    return np.format_float_positional(float(f"{cell:.3g}") if abs(cell) < 1000 else round(cell), trim="-")  # noqa: PLR2004


def _shades(table: Table) -> Picture:
    """Draw a heat map of percentages, white where there is no difference."""
    rows, columns = table.rows[:ROWS], table.head[table.keys :][:COLUMNS]
    values = np.array([[_number(cell) for cell in row[table.keys :][:COLUMNS]] for row in rows])
    size = 3.2 + 0.55 * len(columns), 2.2 + 0.26 * len(rows)
    figure, axes = framed(*size, table.title)
    largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    shades = {"cmap": "PuOr_r", "vmin": -largest, "vmax": largest}
    axes.imshow(np.ma.masked_invalid(values), aspect="auto", interpolation="nearest", **shades)
    texts = table.texts()
    for row, column in np.ndindex(values.shape):
        if (told := texts[row][table.keys + column]) != NOTHING:
            dark = abs(values[row, column]) > 0.7 * largest  # of the shade
            axes.text(column, row, told, ha="center", va="center", fontsize=7, color="w" if dark else "k")
    axes.set_yticks(range(len(rows)), [cut(", ".join(row[: table.keys])) for row in texts[: len(rows)]])
    axes.set_xticks(range(len(columns)), [cut(each) for each in columns], rotation=45, ha="right")
    return Picture(figure)


def _boxes(table: Table) -> Picture:
    """Draw boxes from five numbers each."""
    names = "whislo", "q1", "med", "q3", "whishi"
    rows, texts = table.rows[:ROWS], table.texts()
    boxes = [dict(zip(names, map(_number, row[table.keys :]), strict=False)) for row in rows]
    figure, axes = framed(7.5, 1.6 + 0.24 * len(rows), table.title)
    axes.bxp(boxes, orientation="horizontal", showfliers=False, widths=0.6)
    axes.axvline(0, color="#888", linewidth=0.7)
    axes.set_yticks(
        range(1, len(rows) + 1),
        [cut(" / ".join(filter(None, texts[place][: table.keys]))) for place in range(len(rows))],
    )
    axes.set_ylim(len(rows) + 0.5, 0.5)
    return Picture(figure)


def _lines(table: Table) -> Picture:
    """Draw a line for each column, over the rows in order."""
    figure, axes = framed(8.5, 4.4, table.title)
    values = np.array([[_number(cell) for cell in row[table.keys :]] for row in table.rows])
    for name, column in zip(table.head[table.keys :], values.T, strict=True):
        axes.plot(
            range(len(column)), np.where(column > 0, column, np.nan), ".-", label=cut(name), linewidth=1
        )
    if (values > 0).any():
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
        axes.legend(frameon=False, fontsize=8)
    step = max(1, len(values) // 40)
    names = [cut(row[0]) for row in table.texts()]
    axes.set_xticks(range(0, len(names), step), names[::step], rotation=90, fontsize=7)
    return Picture(figure)


def _number(cell: Cell) -> float:
    return math.nan if cell is None or isinstance(cell, str) else float(cell)
