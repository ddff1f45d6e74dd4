"""What an environment's run tells, in a sentence or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn import Status
from mutatenn_reporters import _layers
from mutatenn_reporters._text import count, cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn import Run
    from mutatenn_reporters._view import Row, View

MOST = 3
"""Operators and layers that are named."""
LONGEST = 60
"""Characters of an operator's name."""


def answer(run: Run, view: View) -> str:
    """Return what share of faults the images notice, and which they miss; "" where no mutant counts."""
    if not view.score.valid:
        return ""
    number, interval = len(run.image_names), view.score.interval
    images = f"these {count(number, 'image')}" if number > 1 else "this image"
    if interval and view.score.sampled:
        low, high = f"{100 * interval.low:.0f}", f"{100 * interval.high:.0f}"
        told = (
            f"Of 100 such faults in the compiled code, {images} would notice "
            f"{100 * interval.score:.0f} ({low} to {high})."
        )
    else:
        told = (
            f"Of {count(view.score.valid, 'fault')} in the compiled code, {images} "
            f"noticed {view.score.detected}."
        )
    missed = list(_missed(run, view))
    return f"{told} {'They miss' if number > 1 else 'It misses'}: {'; '.join(missed)}." if missed else told


def _missed(run: Run, view: View) -> Iterator[str]:
    """Yield which faults are missed, by operator and by layer."""
    rows = sorted((row for row in view.rows if _survivors(row)), key=_survivors, reverse=True)
    if rows:
        named = [f"{cut(row.operator, LONGEST)} ({_survivors(row)} of {_valid(row)})" for row in rows[:MOST]]
        more = f" and {count(len(rows) - MOST, 'other')}" if len(rows) > MOST else ""
        yield f"{', '.join(named)}{more}"
    layers = _layers.weakest(run.layer_scores(view.name))
    if layers:
        yield f"in layers {', '.join(layers[:MOST])}" if len(layers) > 1 else f"in layer {layers[0]}"


def _survivors(row: Row) -> int:
    return row.score.counts[Status.SURVIVED] + row.score.counts[Status.NEVER_INFECTED] if row.score else 0


def _valid(row: Row) -> int:
    return row.score.valid if row.score else 0
