"""A reporter for spreadsheets."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import attrs

from mutatenn import InputError, Reporter, Run, Status, hookimpl, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = ("environment", "operator", "category", "sites", "mutants", *map(str, Status), "score")


@attrs.define(kw_only=True)
class Csv(Reporter):
    """Writes a table of operators for spreadsheets, operators.csv.

    It has a row per environment and operator: how many mutants ended how, and the score. ``delimiter``
    stands between two columns.
    """

    name = "operators-csv"
    delimiter: str = attrs.field(default=",", validator=attrs.validators.max_len(1))

    def report(self, run: Run, directory: Path) -> str:
        """Write the file; raises InputError where that cannot be."""
        path = directory / "operators.csv"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, delimiter=self.delimiter).writerows([HEAD, *_rows(run)])
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
        return f"wrote {one_line(path)}"


def _rows(run: Run) -> Iterator[tuple[object, ...]]:
    """Yield what the columns of HEAD say; the score is empty where no mutant counts."""
    for environment in run.environments:
        scores = run.scores(environment)
        for entry in run.operators(environment):
            about = environment, entry.operator, entry.category, entry.sites, entry.mutants
            score = scores.get(entry.operator)
            counts = [score.counts[status] if score else 0 for status in Status]
            yield *about, *counts, f"{score.value:.4f}" if score and score.valid else ""


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute the reporter."""
    return [Csv]
