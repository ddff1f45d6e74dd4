"""The layers of the user's network, few enough to be read, and those that stand out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from mutatenn import LayerScore
from mutatenn_reporters._text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn import Interval

MOST = 16
"""Of more layers, whole parts of the network stand together."""
WIDEST = 23
"""Characters of a layer's name."""


def weakest(found: Sequence[LayerScore]) -> list[str]:
    """Return the layers whose faults are missed more often than others, as far as the numbers can tell.

    Those with the lowest scores come first, one name for each row of the table.
    """
    rows = gathered(found) if found else []
    low = [row for row in rows if row.score.valid and _as_sample(row).high < _others(row, rows).score.value]
    return [name_of(row.layers) for row in sorted(low, key=lambda row: row.score.value)]


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


def stands_out(row: LayerScore, rows: Sequence[LayerScore]) -> bool:
    """Tell whether the interval of a score is apart from the score of the others together."""
    interval = _as_sample(row)
    return not interval.low <= _others(row, rows).score.value <= interval.high


def _as_sample(row: LayerScore) -> Interval:
    """Return the interval of a score, of these mutants as a sample of faults like them."""
    return attrs.evolve(row, sampled=True).interval


def _others(row: LayerScore, rows: Sequence[LayerScore]) -> LayerScore:
    return LayerScore.total((), [each for each in rows if each is not row])


def name_of(layers: Sequence[str]) -> str:
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
