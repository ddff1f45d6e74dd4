"""A table as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from mutatenn_reporters._markdown import plain
from mutatenn_reporters._text import cut
from mutatenn_reporters.csv import cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutatenn import Table

LONGEST = 200
ROWS = 60
"""Rows that a page has room for."""
ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}


def as_csv(table: Table) -> str:
    """Return a table as CSV, with every digit of its numbers; nothing is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, table.head))
    writer.writerows(map(cell, row) for row in table.rows)
    return text.getvalue()


def as_markdown(table: Table) -> str:
    """Return a table with its title as Markdown, its first rows if there are many."""
    ruler = ("-", *(("-" if place < table.keys else "-:") for place in range(1, len(table.head))))
    rows = [[plain(each, LONGEST) for each in row] for row in (table.head, *table.texts())]
    lines = [f"| {' | '.join(row)} |" for row in (rows[0], ruler, *rows[1 : ROWS + 1])]
    if len(table.rows) > ROWS:
        lines += ["", f"{len(table.rows) - ROWS} more rows are in {plain(table.name)}.csv."]
    return "\n".join([f"### {plain(table.title, LONGEST)}", "", *lines])


def as_latex(table: Table) -> str:
    """Return a table as LaTeX for the package booktabs."""
    columns = "l" * table.keys + "r" * (len(table.head) - table.keys)
    lines = [
        f"% {cut(table.title, LONGEST)}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row(table.head),
        r"\midrule",
        *map(_row, table.texts()),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"{' & '.join(map(_latex, cells))} \\\\"


def _latex(text: str) -> str:
    return "".join(ESCAPED.get(char, char) for char in cut(text, LONGEST))
