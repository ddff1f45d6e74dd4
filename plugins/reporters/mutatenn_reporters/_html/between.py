"""What the page tells of environments against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import STATUS_COLOURS, compare
from mutatenn_reporters._html.data import short
from mutatenn_reporters._text import cut, number, ratio

if TYPE_CHECKING:
    from collections import Counter

    from mutatenn import EndStatus, Run

SHOWN = 50
"""Mutants, and images, that are listed."""
SENTENCE = 1000
"""Characters of a reason."""


def between(run: Run) -> dict[str, Any] | None:
    """Return how environments differ; None where there is but one."""
    if len(run.environments) < 2:  # noqa: PLR2004  # it takes two to disagree
        return None
    comparison = compare([run], oracles={})
    several = len(comparison.mutated) > 1
    every = list(comparison.flips())
    flipped = [(each, flip) for each in every for flip in each.images]
    names = [short(side.name) for side in comparison.sides]
    shares, times = comparison.dissimilarity(), comparison.times()
    against = {each.second: each for each in comparison.time_ratios() if each.first == times[0].environment}
    return {
        "names": names,
        "times": [(each, against.get(each.environment)) for each in times],
        "shares": shares.tolist() if len(names) > 2 and (shares > 0).any() else [],  # noqa: PLR2004  # more than a pair
        "flipped": len(flipped),
        "flips": [
            {
                "first": short(each.first),
                "second": short(each.second),
                "flip": flip,
                "image": short(flip.image),
            }
            for each, flip in flipped[:SHOWN]
        ],
        "floors": [
            {
                "first": short(floor.first),
                "second": short(floor.second),
                "labels": f"{floor.distance.labels} of {floor.distance.images}",
                "largest": "not finite" if floor.distance.largest is None else number(floor.distance.largest),
                "ratio": "" if floor.ratio is None else ratio(floor.ratio),
                "lost": each.lost or "",
                "won": each.won or "",
            }
            for floor, each in zip(comparison.floors, every, strict=True)
        ],
        "ended": [_ended(*pair, counts) for pair, counts in comparison.ended().items()] if several else [],
        "number": comparison.divergences.total() if several else 0,
        "diverging": [
            {"mutant": short(each.mutant.id), "reason": cut(each.reason, SENTENCE)}
            for each in (comparison.diverging(SHOWN) if several else ())
        ],
    }


def _ended(first: str, second: str, counts: Counter[tuple[EndStatus, EndStatus]]) -> dict[str, Any]:
    """Return how many mutants ended how in the one and the other of two environments."""
    order = list(STATUS_COLOURS)
    rows, columns = (sorted({pair[side] for pair in counts}, key=order.index) for side in (0, 1))
    cells = [(str(one), [counts[one, other] for other in columns]) for one in rows]
    return {"first": short(first), "second": short(second), "columns": list(map(str, columns)), "rows": cells}
