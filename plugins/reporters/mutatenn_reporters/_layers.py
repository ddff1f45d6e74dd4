"""The table of an environment's mutants by the layers of the user's network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from mutatenn import LayerScore, Status
from mutatenn_reporters._text import clean, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn import Interval

MOST = 16
"""Rows of the table; where there are more layers, whole parts of the network have a row."""
WIDEST = 23
"""Characters of a layer's name in the table."""
HEADINGS = ("mutants", "detected", "survived", "masked", "invalid", "score")


def table(found: Sequence[LayerScore]) -> str:
    """Return the table, "" where no layers are known; at most 80 columns wide.

    Masked are the mutants that changed no output, and those that are never infected among them.
    """
    if not found:
        return ""
    rows = gathered(found)
    shown = rows if len(rows) <= MOST else [row for row in rows if _stands_out(row, rows)][:MOST]
    if not shown:
        return f"layers: none of {len(rows)} has a score that stands out"
    cells = [(_name(row.layers), *_cells(row)) for row in shown]
    names = max(len("layers"), *(len(name) for name, *_ in cells))
    lines = [f"{name:<{names}} {_aligned(numbers)}" for name, *numbers in [("layers", *HEADINGS), *cells]]
    if len(shown) < len(rows):
        lines.append(f"and {len(rows) - len(shown)} more, whose scores do not stand out")
    return "\n".join(lines)


def weakest(found: Sequence[LayerScore]) -> list[str]:
    """Return the layers whose faults are missed more often than others, as far as the numbers can tell.

    Those with the lowest scores come first, one name for each row of the table.
    """
    rows = gathered(found) if found else []
    low = [row for row in rows if row.score.valid and _as_sample(row).high < _others(row, rows).score.value]
    return [_name(row.layers) for row in sorted(low, key=lambda row: row.score.value)]


def gathered(found: Sequence[LayerScore]) -> list[LayerScore]:
    """Return the layers, or the smallest parts of the network around them of which there are few."""
    depth = max(len(_parts(name)) for each in found for name in each.layers)
    while True:
        groups: dict[tuple[str, ...], list[LayerScore]] = {}
        for each in found:
            names = tuple(dict.fromkeys(_cut(name, depth) for name in each.layers))
            groups.setdefault(names, []).append(each)
        if len(groups) <= MOST or depth == 1:
            return [LayerScore.total(names, parts) for names, parts in groups.items()]
        depth -= 1


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"(?<=[./])(?=.)", name) if part]


def _cut(name: str, depth: int) -> str:
    return "".join(_parts(name)[:depth]).rstrip("./")


def _stands_out(row: LayerScore, rows: Sequence[LayerScore]) -> bool:
    """Tell whether the interval of a score is apart from the score of the others together."""
    interval = _as_sample(row)
    return not interval.low <= _others(row, rows).score.value <= interval.high


def _as_sample(row: LayerScore) -> Interval:
    """Return the interval of a score, of these mutants as a sample of faults like them."""
    return attrs.evolve(row, sampled=True).interval


def _others(row: LayerScore, rows: Sequence[LayerScore]) -> LayerScore:
    return LayerScore.total((), [each for each in rows if each is not row])


def _name(layers: Sequence[str]) -> str:
    """Return the names of layers in one cell: ``block1/conv, bn`` of ``block1/conv`` and ``block1/bn``."""
    first, *others = layers
    folder = "".join(_parts(first)[:-1])
    inside = all(other.startswith(folder) for other in others)
    shown = [first, *(other.removeprefix(folder) if inside else other for other in others)]
    text = clean(", ".join(shown))
    if len(text) <= WIDEST:
        return text
    more = f" and {len(others)} more" if others else ""
    name, room = clean(first), WIDEST - len(more)
    return f"{name if len(name) <= room else f'...{name[3 - room :]}'}{more}"


def _cells(row: LayerScore) -> list[str]:
    score, counts, interval = row.score, row.score.counts, row.interval
    survived, never = counts[Status.SURVIVED], counts[Status.NEVER_INFECTED]
    numbers = [score.judged, score.detected, survived - row.masked, row.masked + never]
    cells = [str(number or ".") for number in [*numbers, score.judged - score.valid]]
    told = ratio(score.value)
    if score.valid and interval.width:
        told += f" {interval.low:.2f}-{interval.high:.2f}"
    return [*cells, told]


def _aligned(cells: Sequence[str]) -> str:
    *numbers, score = cells
    widths = [len(heading) for heading in HEADINGS]
    return " ".join(
        [*(f"{cell:>{width}}" for cell, width in zip(numbers, widths, strict=False)), f" {score}"]
    )
