"""What ``mutatenn compare`` tells of originals: how far apart, how long, which labels differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mutatenn.cli._text import titled
from mutatenn.printable import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn.analysis.environments.comparison import Comparison, Floor
    from mutatenn.analysis.environments.flips import Flip, Flips
    from mutatenn.analysis.environments.sides import ComparedEnvironment
    from mutatenn.analysis.environments.times import TimeRatio, TimeSummary

FEW = 6
"""Environments of which all pairs are told."""
SHOWN = 10


def originals(found: Comparison) -> Iterator[str]:
    """Yield tables and lines about the originals."""
    yield _against_first(found) if len(found.sides) > FEW else _pairs(found)
    if failed := {side.name: why for side in found.sides if (why := side.failure)}:
        yield "\n".join(printable(f"{name} failed: {why}") for name, why in failed.items())
    if found.times():
        yield _times(found)
    if len(found.sides) > 2:  # noqa: PLR2004  # the table of pairs tells of two
        yield _dissimilarity(found)
    if flipped := [each for each in found.flips() if each.images]:
        yield _flips(flipped)


def _pairs(found: Comparison) -> str:
    if not found.floors:
        return "no two originals have run yet; `mutatenn run` continues"
    head = ("first", "second", "labels differ", "lost", "won", "largest difference", "time ratio")
    rows: list[Sequence[object]] = [head]
    rows += [_floor(*each) for each in zip(found.floors, found.flips(), strict=True)]
    if not any(flips.images for flips in found.flips()):
        rows = [[*row[:3], *row[5:]] for row in rows]  # neither lost nor won
    return titled("originals: the noise floor", rows, right=range(2, len(rows[0])))


def _floor(floor: Floor, flips: Flips) -> Sequence[object]:
    apart = floor.distance
    largest = "not finite" if apart.largest is None else f"{apart.largest:.2g}"
    ratio = "-" if floor.ratio is None else f"{floor.ratio:.2f}"
    labels = f"{apart.labels} of {apart.images}", flips.lost or ".", flips.won or "."
    return floor.first, floor.second, *labels, largest, ratio


def _against_first(found: Comparison) -> str:
    """Return how the originals of many environments stand to the first's, and how much faster they are."""
    first, *others = found.sides
    pairs = zip(found.floors, found.flips(), strict=True)
    told = {floor.second: (floor, flips) for floor, flips in pairs if floor.first == first.name}
    rows = [(side.name, *_compared(side, told.get(side.name))) for side in others]
    head = ("environment", "faster, %", "labels differ", "lost", "won", "largest difference")
    return titled(f"originals against {first.name}", [head, *rows], right=range(1, len(head)))


def _compared(side: ComparedEnvironment, told: tuple[Floor, Flips] | None) -> Sequence[object]:
    from mutatenn.analysis.environments.times import gain

    if told is None:
        return "FAILED" if side.failure else "-", "", "", "", ""
    floor, flips = told
    _, _, *numbers, _ = _floor(floor, flips)
    return "-" if floor.ratio is None else f"{gain(1, floor.ratio):.1f}", *numbers


def _times(found: Comparison) -> str:
    """Return how long the originals take, and how that stands to the first's."""
    times = found.times()
    first = times[0].environment
    against = {each.second: each for each in found.time_ratios() if each.first == first}
    rows = [_time(each, against.get(each.environment)) for each in times]
    head = (
        "environment",
        "median ms",
        "p90",
        "p99",
        "variation",
        f"of {first}'s",
        "from",
        "to",
        "p",
        "effect",
        "",
    )
    title = f"times of an image, {times[0].repeats} x {counted(times[0].images, 'image')}, in turns"
    return titled(title, [head, *rows], right=range(1, len(head) - 1))


def _time(each: TimeSummary, against: TimeRatio | None) -> Sequence[object]:
    numbers = (f"{1000 * seconds:.3g}" for seconds in (each.median, each.p90, each.p99))
    busy = "busy machine" if each.busy else ""
    if against is None:
        return each.environment, *numbers, f"{each.variation:.0%}", "", "", "", "", "", busy
    ratio = (f"{value:.3f}" for value in (against.ratio, against.low, against.high))
    told = f"{against.p:.2g}", f"{against.effect:+.2f}"
    return each.environment, *numbers, f"{each.variation:.0%}", *ratio, *told, busy


def _dissimilarity(found: Comparison) -> str:
    """Return the triangle of how many images have other labels, in percent."""
    names, shares = [side.name for side in found.sides], found.dissimilarity()
    if not (shares > 0).any():
        return "no label differs between any two of them"
    rows = [
        (name, *("-" if math.isnan(share) else f"{share:.3g}" for share in shares[row, : row + 1]))
        for row, name in enumerate(names)
    ]
    wide = [(*row, *[""] * (len(names) + 1 - len(row))) for row in rows]
    head = ("", *(str(number + 1) for number in range(len(names))))
    numbered = [(f"{number} {row[0]}", *row[1:]) for number, row in enumerate(wide, 1)]
    return titled("images with another label, %", [head, *numbered], right=range(1, len(names) + 1))


def _flips(found: Sequence[Flips]) -> str:
    """Return the images whose labels differ, the surest first."""
    rows = [(each.first, each.second, *_flip(flip)) for each in found for flip in each.images]
    head = ("first", "second", "image", "truth", "label", "then", "confidence", "then")
    title = "images whose labels differ, those first that were the surest"
    more = f"\n  and {len(rows) - SHOWN} more; --json lists all" if len(rows) > SHOWN else ""
    return titled(title, [head, *rows[:SHOWN]], right=range(3, len(head))) + more


def _flip(flip: Flip) -> Sequence[object]:
    labels = ("-" if each is None else each for each in (flip.truth, flip.first, flip.second))
    sure = (
        "-" if each is None else f"{each:.2f}" for each in (flip.first_confidence, flip.second_confidence)
    )
    return flip.image, *labels, *sure
