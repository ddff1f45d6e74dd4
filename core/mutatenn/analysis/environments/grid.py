"""Environments at their places in the product of the factors that vary."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.analysis.environments.sides import ComparedEnvironment

DERIVED = ("model", "framework", "route", "profile", "device")
"""Factors that are derived; of two that change together, one of the user's own is kept."""
NONE = "-"
"""The level of an environment that has none of a factor."""
RUN = "run"
"""The factor that tells the environments of several runs apart, where nothing else does."""


@attrs.frozen(eq=False)
class Place:
    """An environment: the level of each factor, seconds of an image, and of each image by repeat."""

    name: str
    levels: Mapping[str, str]
    seconds: float | None = None
    times: NDArray[np.floating] | None = None
    accuracy: float | None = None
    failure: str = ""


Others = tuple[str, ...]
"""The levels of all factors but one."""


@attrs.frozen(eq=False)
class Grid:
    """Environments by the factors that vary among them, each with its levels in order of appearance.

    ``left_out`` tells what has no place of its own, and which factors change together with others.
    """

    factors: Mapping[str, tuple[str, ...]]
    places: tuple[Place, ...]
    left_out: tuple[str, ...] = ()

    def others(self, factor: str) -> tuple[str, ...]:
        """Return the names of all factors but one."""
        return tuple(name for name in self.factors if name != factor)

    def slices(self, factor: str) -> Iterator[tuple[Others, dict[str, Place]]]:
        """Yield what differs in one factor alone: the levels of the others, and places by level."""
        found: dict[Others, dict[str, Place]] = {}
        for place in self.places:
            others = tuple(place.levels[name] for name in self.others(factor))
            found.setdefault(others, {})[place.levels[factor]] = place
        for others, levels in found.items():
            if len(levels) > 1:
                yield others, {level: levels[level] for level in self.factors[factor] if level in levels}


def grid(places: Sequence[Place]) -> Grid:
    """Arrange environments by the factors in which they differ."""
    names = dict.fromkeys(name for place in places for name in place.levels)
    ordered = [name for name in names if name not in DERIVED] + [name for name in DERIVED if name in names]
    whole = [
        attrs.evolve(each, levels={name: each.levels.get(name, NONE) for name in names}) for each in places
    ]
    kept, told = list[str](), list[str]()
    for name in ordered:
        if len({each.levels[name] for each in whole}) < 2:  # noqa: PLR2004  # it does not vary
            level = whole[0].levels[name] if whole else NONE
            told.append(f"nothing by {name}: it is {level} everywhere")
        elif twin := next((each for each in kept if _together(whole, each, name)), None):
            told.append(f"nothing by {name} alone: it changes with {twin}")
        else:
            kept.append(name)
    kept = [name for name in names if name in kept]
    factors = {name: tuple(dict.fromkeys(each.levels[name] for each in whole)) for name in kept}
    found: dict[Others, Place] = {}
    for each in whole:
        at = tuple(each.levels[name] for name in kept)
        if (first := found.setdefault(at, each)) is not each:
            told.append(
                f"{each.name} is left out: {first.name} has the same factors; give it some of its own"
            )
    return Grid(factors, tuple(found.values()), tuple(told))


def _together(places: Sequence[Place], one: str, other: str) -> bool:
    """Tell whether two factors say the same of every environment, in other words."""
    pairs = {(each.levels[one], each.levels[other]) for each in places}
    return len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})


def environments(sides: Sequence[ComparedEnvironment]) -> list[Place]:
    """Return the environments of a comparison, with the factors that tell runs and models apart."""
    models = {id(side.run): str(side.run.facts.get("model", {}).get("name", "")) for side in sides}
    digests = {str(side.run.facts.get("model", {}).get("digest", "")) for side in sides}
    levels = [dict(side.factors) for side in sides]
    if len(digests) > 1:
        levels = [{"model": models[id(side.run)], **each} for side, each in zip(sides, levels, strict=True)]
    paired = itertools.combinations(zip(sides, levels, strict=True), 2)
    if any(one == other and first.run is not second.run for (first, one), (second, other) in paired):
        runs = [side.name.rpartition("/")[0] or side.run.directory.name for side in sides]
        levels = [{RUN: run, **each} for run, each in zip(runs, levels, strict=True)]
    return [_place(side, each) for side, each in zip(sides, levels, strict=True)]


def _place(side: ComparedEnvironment, levels: Mapping[str, str]) -> Place:
    import numpy as np

    times, baseline = side.times, side.baseline
    measured = baseline.seconds if baseline and baseline.seconds else None
    seconds = measured if times is None else float(np.median(times))
    accuracy = baseline.accuracy if baseline else None
    return Place(side.name, levels, seconds, times, accuracy, side.failure)
