"""The table of an environment's mutants by the layers of the user's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn import Status
from mutatenn_reporters._layers import MOST, gathered, name_of, stands_out
from mutatenn_reporters._text import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn import LayerScore

HEADINGS = ("mutants", "detected", "survived", "masked", "invalid", "score")


def table(found: Sequence[LayerScore]) -> str:
    """Return the table, "" where no layers are known; at most 80 columns wide.

    Masked are the mutants that changed no output, and those that are never infected among them.
    """
    if not found:
        return ""
    rows = gathered(found)
    shown = rows if len(rows) <= MOST else [row for row in rows if stands_out(row, rows)][:MOST]
    if not shown:
        return f"layers: none of {len(rows)} has a score that stands out"
    cells = [(name_of(row.layers), *_cells(row)) for row in shown]
    names = max(len("layers"), *(len(name) for name, *_ in cells))
    lines = [f"{name:<{names}} {_aligned(numbers)}" for name, *numbers in [("layers", *HEADINGS), *cells]]
    if len(shown) < len(rows):
        lines.append(f"and {len(rows) - len(shown)} more, whose scores do not stand out")
    return "\n".join(lines)


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
