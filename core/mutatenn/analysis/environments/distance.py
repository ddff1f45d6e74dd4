"""How far two sets of outputs are apart: image by image, and summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.json_values import finite
from mutatenn.results.oracles import measured, noticed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mutatenn.api.comparator import Comparator

QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99, "worst": 1.0}


@attrs.frozen
class Spread:
    """What an oracle measured over the images; a number is None where it is not finite.

    ``p90`` is the measure of an image than which nine in ten images are no worse, ``median`` and ``p99``
    likewise; ``noticed`` counts the images beyond the oracle's threshold.
    """

    mean: float | None
    median: float | None
    p90: float | None
    p99: float | None
    worst: float | None
    noticed: int


@attrs.frozen
class Distance:
    """How far two sets of outputs are apart.

    ``labels`` counts the images whose top-1 label differs: an image whose outputs are not finite has none,
    and differs from one that has. ``largest`` is the largest absolute difference of a score, None where an
    image of one side is not finite and the other side's is not the same.
    """

    images: int
    labels: int
    largest: float | None
    oracles: dict[str, Spread]


@attrs.frozen(eq=False)
class Measures:
    """What was measured of each image: ``labels`` (differ) bool, the others float64, all ``[images]``."""

    labels: NDArray[np.bool_]
    largest: NDArray[np.float64]
    oracles: dict[str, NDArray[np.float64]]

    def patched(self, rows: NDArray[np.intp], part: Measures) -> Measures:
        """Return the same with other measures of some images."""
        labels, largest = self.labels.copy(), self.largest.copy()
        labels[rows], largest[rows] = part.labels, part.largest
        oracles = {name: values.copy() for name, values in self.oracles.items()}
        for name, values in oracles.items():
            values[rows] = part.oracles[name]
        return Measures(labels, largest, oracles)

    def distance(self, oracles: Mapping[str, Comparator]) -> Distance:
        """Sum the images up."""
        largest = float(self.largest.max(initial=0.0))
        spreads = {name: _spread(oracle, self.oracles[name]) for name, oracle in oracles.items()}
        return Distance(len(self.labels), int(self.labels.sum()), finite(largest), spreads)

    def beyond(self, floor: Measures, oracles: Mapping[str, Comparator]) -> tuple[str, ...]:
        """Return the oracles by which this is beyond a noise floor.

        An oracle says so if it notices more images, by its threshold, than it does of the floor; or if an
        image that it notices is worse than every image of the floor.
        """
        return tuple(
            name
            for name, oracle in oracles.items()
            if _beyond(oracle, self.oracles[name], floor.oracles[name])
        )


def measure(one: Scores, other: Scores, oracles: Mapping[str, Comparator]) -> Measures:
    """Measure the outputs of two environments, ``[images, classes]`` both and the first as the original.

    Neither needs to be finite: an image measures NaN where one side is not finite, but as equal where both
    sides are the same, element for element.
    """
    left, right = np.isfinite(one.values).all(axis=1), np.isfinite(other.values).all(axis=1)
    same = ((one.values == other.values) | (np.isnan(one.values) & np.isnan(other.values))).all(axis=1)
    both = left & right
    labels = left != right
    labels[both] = Scores(one.values[both]).labels() != Scores(other.values[both]).labels()
    largest = np.where(same, 0.0, np.nan)
    largest[both] = _apart(one.values[both], other.values[both])
    broken_alike = same & ~both
    found = {}
    for name, oracle in oracles.items():
        found[name] = np.full(len(same), np.nan)
        found[name][both] = measured(oracle, _rows(one, both), _rows(other, both))
        if broken_alike.any():
            found[name][broken_alike] = _of_equals(oracle, one)
    return Measures(labels, largest, found)


def _rows(scores: Scores, chosen: NDArray[np.bool_]) -> Scores:
    return attrs.evolve(scores, values=scores.values[chosen])


def _apart(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    difference = np.abs(np.subtract(one, other, dtype=np.float64))
    return np.asarray(difference.max(axis=1, initial=0.0))


def _of_equals(oracle: Comparator, like: Scores) -> float:
    """Return what an oracle measures of an output and itself, whatever it is."""
    classes = like.values.shape[1]
    some = np.arange(1, classes + 1, dtype=np.float64)[np.newaxis] / (classes * (classes + 1) / 2)
    scores = Scores(some, like.kind)
    return float(measured(oracle, scores, scores)[0])


def _spread(oracle: Comparator, values: NDArray[np.float64]) -> Spread:
    count = int(noticed(oracle, values).sum())
    if not len(values):
        return Spread(None, None, None, None, None, count)
    ordered = np.sort(_badness(oracle, values))
    sign = 1.0 if oracle.worse == "higher" else -1.0
    places = {name: max(0, int(np.ceil(share * len(values))) - 1) for name, share in QUANTILES.items()}
    quantiles = {name: finite(sign * float(ordered[place])) for name, place in places.items()}
    with np.errstate(invalid="ignore"):  # infinite minus infinite
        mean = float(values.mean())
    return Spread(finite(mean), noticed=count, **quantiles)


def _badness(oracle: Comparator, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the measures such that higher is worse, NaN the worst of all."""
    bad = values if oracle.worse == "higher" else -values
    return np.where(np.isnan(bad), np.inf, bad)


def _beyond(oracle: Comparator, values: NDArray[np.float64], floor: NDArray[np.float64]) -> bool:
    beyond = noticed(oracle, values)
    worst = _badness(oracle, floor).max(initial=-np.inf)
    worse = beyond & (_badness(oracle, values) > worst)
    return bool(worse.any() or beyond.sum() > noticed(oracle, floor).sum())
