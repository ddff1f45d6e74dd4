"""What the terminal reporter says of environments against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from rich.text import Text

from mutatenn import compare
from mutatenn_reporters._terminal.notable import Group
from mutatenn_reporters._text import clean, count, number, ratio, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn import Comparison, Floor, MutationScore, Run


MOST = 5
ROWS = 12
FEW = 6
"""Environments of which all pairs are shown."""
NOTHING = "."
ABSENT = "-"


@attrs.frozen
class EnvironmentsSection:
    """The section about all environments together."""

    tables: tuple[Text, ...]
    diverging: Group | None = None


def between(run: Run) -> EnvironmentsSection | None:
    """Return the section of a run in several environments."""
    if len(run.environments) < 2:  # noqa: PLR2004  # it takes two to disagree
        return None
    comparison = compare([run], oracles={})
    tables = [_originals(_shown(comparison))] if comparison.floors else []
    if len(comparison.mutated) < 2:  # noqa: PLR2004
        return EnvironmentsSection(tuple(tables))
    return EnvironmentsSection((*tables, _matrix(comparison)), _diverging(comparison))


def _shown(comparison: Comparison) -> Sequence[Floor]:
    """Return every pair of few environments, of more those with the first."""
    if len(comparison.sides) <= FEW:
        return comparison.floors
    first = comparison.floors[0].first
    return [floor for floor in comparison.floors if floor.first == first]


def _originals(floors: Sequence[Floor]) -> Text:
    """Return how far every two originals are apart."""
    head = ("originals", "", "labels differ", "largest difference", "time ratio")
    return _table([head, *map(_floor, floors)], left=2)


def _floor(floor: Floor) -> tuple[str, ...]:
    apart = floor.distance
    labels = f"{apart.labels} of {apart.images}"
    largest = "not finite" if apart.largest is None else number(apart.largest)
    return floor.first, floor.second, labels, largest, ABSENT if floor.ratio is None else ratio(floor.ratio)


def _matrix(comparison: Comparison) -> Text:
    """Return detected / valid mutants by operator, of the operators that fared differently."""
    names = [side.name for side in comparison.mutated]
    diverging, scores = comparison.divergences, comparison.scores()
    cells = {operator: [_cell(found.get(name)) for name in names] for operator, found in scores.items()}
    uneven = [operator for operator in cells if len(set(cells[operator])) > 1 or diverging[operator]]
    shown = sorted(uneven, key=lambda operator: not diverging[operator])[:ROWS]
    rows = [(each, *cells[each], str(diverging[each] or NOTHING)) for each in uneven if each in shown]
    whole = [_cell(side.run.score(side.environment)) for side in comparison.mutated]
    head = ("detected / valid", *names, "diverging")
    text = _table([head, *rows, ("all", *whole, str(diverging.total()))], left=1)
    if more := len(uneven) - len(shown):
        text.append(f"\n  {count(more, 'more operator')}; `mutatenn compare` lists all")
    if alike := len(scores) - len(uneven):
        text.append(f"\n  {count(alike, 'operator')} with the same counts everywhere")
    return text


def _cell(score: MutationScore | None) -> str:
    return f"{score.detected}/{score.valid}" if score and any(score.counts.values()) else ABSENT


def _diverging(comparison: Comparison) -> Group | None:
    """Return the mutants that did not end alike, most notable first."""
    different = comparison.divergences.total()
    if not different:
        return None
    title = f"{count(different, 'mutant')} did not end alike in all environments"
    shown = tuple((each.mutant.id, shorten(each.reason)) for each in comparison.diverging(MOST))
    return Group(f"{title}{', most notable first' * (different > 1)}", shown, different - len(shown))


def _table(rows: Sequence[Sequence[str]], left: int) -> Text:
    """Return rows as aligned columns, the first ``left`` flush left, under a bold head."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (_line(row, widths, left) for row in cells)
    text = Text(next(lines), "bold")
    for line in lines:
        text.append(f"\n{line}", "not bold")
    return text


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded: Iterator[str] = (
        cell.ljust(width) if position < left else cell.rjust(width)
        for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"  {'  '.join(padded)}".rstrip()
