"""What environments differ in, factor by factor: the tables and figures of DeltaNN, of anybody's runs.

Louloudakis, Gibson, Cano, Rajan: *DeltaNN: Assessing the Impact of Computational Environment Parameters on
the Performance of Image Recognition Models*, 2023.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import numpy as np

from mutatenn.analysis.environments.grid import Grid, Place, environments, grid
from mutatenn.analysis.environments.times import anova, gain
from mutatenn.analysis.table import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mutatenn.analysis.environments.sides import ComparedEnvironment
    from mutatenn.analysis.environments.times import TimeRatio

    Apart = Mapping[tuple[str, str], float]
    """The percentage of images with another label, by the names of two environments, in both orders."""

FAILED = "FAILED"
FEW = 4
"""Levels of a factor of which each pair has a table of its own."""
MOST = 40
"""Levels of a factor that are compared with each other."""
WHISKER = 1.5
"""Interquartile ranges that a whisker may reach (Tukey)."""


def all_tables(
    sides: Sequence[ComparedEnvironment], shares: NDArray[np.float64], ratios: Sequence[TimeRatio]
) -> tuple[list[Table], list[str]]:
    """Return the tables of some environments, and in words what their factors do not allow.

    ``shares`` is the percentage of images with another label, ``[sides, sides]``.
    """
    every = environments(sides)
    places = grid(every)
    names = [side.name for side in sides]
    apart = {
        (names[row], names[column]): float(shares[row, column])
        for row, column in itertools.product(range(len(names)), repeat=2)
        if not np.isnan(shares[row, column])
    }
    found = [*over_all(every, tuple(places.factors), apart), *_pairs(ratios)]
    for factor in places.factors:
        found += by_factor(places, factor, apart)
    return found, [*places.left_out, *_lacking(places, apart)]


def over_all(places: Sequence[Place], keys: tuple[str, ...], apart: Apart) -> Iterator[Table]:
    """Yield what is told of every environment, and of every pair of labels."""
    first = places[0].name
    rows = [
        (*(each.levels.get(name) for name in keys), each.name, *_figures(each, apart.get((first, each.name))))
        for each in places
    ]
    head = (*keys, "environment", "ms per image", f"labels not as {first}, %", "accuracy, %")
    yield Table("environments", "environments", head, tuple(rows), len(keys) + 1)
    names = [each.name for each in places]
    if len(names) <= MOST and any(apart.values()):
        triangle = [
            (
                name,
                *(apart.get((name, other)) for other in names[: row + 1]),
                *[None] * (len(names) - row - 1),
            )
            for row, name in enumerate(names)
        ]
        title = "images with another label, %"
        yield Table("labels", title, ("", *names), tuple(triangle), 1, "shades")


def _figures(place: Place, share: float | None) -> tuple[Cell, ...]:
    accuracy = None if place.accuracy is None else 100 * place.accuracy
    return _milliseconds(place), share, accuracy


def _milliseconds(place: Place) -> Cell:
    if place.failure:
        return FAILED
    return None if place.seconds is None else 1000 * place.seconds


def by_factor(places: Grid, factor: str, apart: Apart) -> Iterator[Table]:
    """Yield what one factor makes, the others being equal."""
    levels = places.factors[factor]
    yield _to_first(places, factor, apart)
    if len(levels) <= FEW:
        for pair in itertools.combinations(levels, 2):
            yield from _gains(places, factor, pair)
    if len(levels) <= MOST:
        yield from _levels(places, factor, "times", f"time by {factor}: column longer than row, %", _longer)
        if any(share for share in apart.values()):
            title = f"images with another label, by {factor}, %"
            yield from _levels(places, factor, "labels", title, lambda a, b: apart.get((a.name, b.name)))
    if len(levels) <= FEW:
        yield from _boxes(places, factor)
    yield from _variance(places, factor)


def faster(before: Place, after: Place) -> Cell:
    """Return by how much the second is faster, in percent of its time: tables I, II, V to XI."""
    return _percent(before, after, lambda one, other: 100 * (one / other - 1))


def _longer(row: Place, column: Place) -> Cell:
    """Return by how much the second is longer, in percent of the first's time: figures 3 to 5, 15 to 17."""
    return _percent(row, column, lambda one, other: 100 * (other - one) / one)


def _gain(before: Place, after: Place) -> Cell:
    """Return what is gained, in percent of the first's time: tables III and IV."""
    return _percent(before, after, gain)


def _percent(one: Place, other: Place, formula: Callable[[float, float], float]) -> Cell:
    if one.failure or other.failure:
        return FAILED
    if one.seconds is None or other.seconds is None:
        return None
    return formula(one.seconds, other.seconds)


def _to_first(places: Grid, factor: str, apart: Apart) -> Table:
    """Return each level beside the first: tables III and IV, where the levels are passes."""
    others = places.others(factor)
    rows: list[tuple[Cell, ...]] = []
    for at, levels in places.slices(factor):
        first = next(iter(levels.values()))
        for level, place in levels.items():
            share = apart.get((first.name, place.name))
            told = None if place.failure or place is first else share
            rows.append(
                (*at, level, _milliseconds(place), _gain(first, place), told, _figures(place, None)[2])
            )
    head = (*others, factor, "ms per image", "% to first", "labels differ, %", "accuracy, %")
    return Table(
        _named("to-first", factor), f"by {factor}, against the first", head, tuple(rows), len(others) + 1
    )


def _gains(places: Grid, factor: str, pair: tuple[str, str]) -> Iterator[Table]:
    """Yield how much faster one level is than another, by the other factors: the last stands in columns."""
    *down, across = places.others(factor) or ("",)
    before, after = pair
    found: dict[tuple[str, ...], dict[str, Cell]] = {}
    for at, levels in places.slices(factor):
        if before in levels and after in levels:
            *row, column = at or ("",)
            key = tuple(row) or (f"{before} to {after}",)
            found.setdefault(key, {})[column] = faster(levels[before], levels[after])
    seen = dict.fromkeys(column for row in found.values() for column in row)
    if any(cell is not None for row in found.values() for cell in row.values()):
        columns = [level for level in places.factors.get(across, ("",)) if level in seen]
        rows = tuple((*key, *(row.get(column) for column in columns)) for key, row in found.items())
        by = ", ".join(filter(None, (*down, across)))
        title = f"{after} faster than {before}, %{f', by {by}' if by else ''}"
        head = (*(down or [""]), *columns)
        yield Table(_named("gain", factor, *pair), title, head, rows, max(1, len(down)), "shades")


def _levels(
    places: Grid, factor: str, name: str, title: str, value: Callable[[Place, Place], Cell]
) -> Iterator[Table]:
    """Yield a table of levels by levels for all that the others may be; labels have a triangle."""
    slices = list(places.slices(factor))
    columns = [level for level in places.factors[factor] if any(level in levels for _, levels in slices)]
    rows: list[tuple[Cell, ...]] = []
    for at, levels in slices:
        for place, row in enumerate(levels):
            shown = list(levels)[: place + 1] if name == "labels" else levels
            cells = {column: value(levels[row], levels[column]) for column in shown}
            rows.append((*at, row, *(cells.get(column) for column in columns)))
    keys = (*places.others(factor), factor)
    if any(isinstance(cell, float) for row in rows for cell in row):
        yield Table(_named(name, factor), title, (*keys, *columns), tuple(rows), len(keys), "shades")


def _boxes(places: Grid, factor: str) -> Iterator[Table]:
    """Yield how much longer each image takes, as boxes: figures 6 to 14."""
    others = places.others(factor)
    rows: list[tuple[Cell, ...]] = []
    for at, levels in places.slices(factor):
        for (base, one), (level, other) in itertools.permutations(levels.items(), 2):
            if one.times is not None and other.times is not None:
                before, after = (np.median(each, axis=0).astype(float) for each in (one.times, other.times))
                number = min(len(before), len(after))
                longer = 100 * (after[:number] - before[:number]) / before[:number]
                rows.append((*at, base, level, *_box(longer), number))
    if rows:
        head = (*others, "base", factor, "whisker", "quartile", "median", "quartile", "whisker", "images")
        title = f"time of each image by {factor}: longer than on the base, %"
        yield Table(_named("boxes", factor), title, head, tuple(rows), len(others) + 2, "boxes")


def _box(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, ...]:
    low, middle, high = (float(each) for each in np.percentile(values, [25, 50, 75]))
    reach = WHISKER * (high - low)
    inside = values[(values >= low - reach) & (values <= high + reach)]
    return float(inside.min()), low, middle, high, float(inside.max())


def _variance(places: Grid, factor: str) -> Iterator[Table]:
    """Yield whether the levels take the same time: one-way analysis of variance of the images' means."""
    rows: list[tuple[Cell, ...]] = []
    for at, levels in places.slices(factor):
        times = [place.times for place in levels.values() if place.times is not None]
        if len(times) > 1 and all(each.shape[1] > 1 for each in times):
            rows.append((*at, len(times), anova(times)))
    if rows:
        others = places.others(factor)
        title = f"one-way analysis of variance of the times, by {factor}"
        yield Table(_named("anova", factor), title, (*others, "levels", "p"), tuple(rows), len(others))


def _pairs(ratios: Sequence[TimeRatio]) -> Iterator[Table]:
    rows = tuple(
        (each.first, each.second, each.ratio, each.low, each.high, each.p, each.effect) for each in ratios
    )
    if rows:
        head = ("first", "second", "ratio", "from", "to", "p", "effect")
        title = "times of the second over the first's: 95 % interval, p (corrected by Holm), Cliff's delta"
        yield Table("time-ratios", title, head, rows, 2)


def _lacking(places: Grid, apart: Apart) -> Iterator[str]:
    """Yield in words what cannot be told."""
    if not any(place.times is not None for place in places.places):
        yield "no boxes, intervals and analysis of variance: give the campaign a [time] section"
    if apart and not any(apart.values()):
        yield "no table of labels: no label differs between any two environments"
    for factor, levels in places.factors.items():
        if not any(places.slices(factor)):
            yield f"nothing by {factor}: no two environments differ in it alone"
        elif len(levels) > FEW:
            yield f"no table for each two of {factor}: there are {len(levels)}; take some by --environment"


def _named(*parts: str) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") or "other" for part in parts)
