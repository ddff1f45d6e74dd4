"""The csv reporter: a row for each mutant and environment, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn import Reporter, hookimpl
from mutatenn_reporters._text import cut
from mutatenn_reporters._writing import writing, wrote

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn import Run

FILE = "mutants.csv"
LONGEST = 2000
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""


@attrs.define(kw_only=True, eq=False)
class Csv(Reporter):
    """Writes mutants.csv, a row for each mutant and environment that has a verdict.

    The columns are those of :meth:`mutatenn.Run.frame`, and the mutant's sites and layers. Text that a
    spreadsheet would take for a formula begins with an apostrophe.
    """

    name: ClassVar[str] = "csv"

    def report(self, run: Run, directory: Path) -> str:
        """Write ``mutants.csv`` into the directory, creating it; return where it is.

        Raises InputError if it cannot be written.
        """
        names = list(dict.fromkeys(name for row in run.rows() for name in row))
        with writing(directory / FILE) as file:
            text = io.TextIOWrapper(file, "utf-8", newline="")
            table = csv.writer(text, lineterminator="\n")
            table.writerow(map(cell, names))
            table.writerows([cell(row.get(name)) for name in names] for row in run.rows())
            text.detach()  # what is left goes into the file, which stays open
        return wrote(directory / FILE)


def cell(value: Any) -> Any:
    """Return a cell that a spreadsheet takes for text or a number, never for a formula."""
    if value is None or isinstance(value, int | float):
        return value
    text = cut(json.dumps(value) if isinstance(value, dict | list | tuple) else value, LONGEST)
    return f"'{text}" if text.startswith(FORMULA) else text


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``csv``."""
    return [Csv]
