"""How long environments take, and whether one is faster than another."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.analysis.environments.holm import holm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Seconds = NDArray[np.floating]

CONFIDENCE = 0.95
RESAMPLES = 2000


@attrs.frozen
class TimeSummary:
    """The original's seconds per image in one environment, over all repeats and images.

    ``variation`` is the standard deviation over the mean; ``busy`` says that the machine had other work.
    """

    environment: str
    repeats: int
    images: int
    median: float
    mean: float
    p90: float
    p99: float
    variation: float
    busy: bool = False


@attrs.frozen
class TimeRatio:
    """How the second's time stands to the first's, repeat by repeat and image by image.

    ``ratio`` is that of the medians, above 1 where the second is slower, ``low`` and ``high`` the 95 %
    bootstrap interval of it, over repeats. ``p`` is that of Wilcoxon's signed-rank test of the repeats'
    medians (of Mann and Whitney's where they did not take turns), corrected for the number of pairs by Holm;
    ``effect`` is Cliff's delta, -1 to 1, above 0 where the second is slower.
    """

    first: str
    second: str
    ratio: float
    low: float
    high: float
    p: float
    effect: float

    @property
    def decided(self) -> bool:
        """Whether one is faster, as far as these numbers tell: the interval does not hold 1."""
        return not self.low <= 1 <= self.high


def summary(environment: str, seconds: Seconds, *, busy: bool = False) -> TimeSummary:
    """Sum up seconds ``[repeats, images]``."""
    values = np.asarray(seconds, np.float64).ravel()
    mean = float(values.mean())
    return TimeSummary(
        environment,
        seconds.shape[0],
        seconds.shape[1],
        float(np.median(values)),
        mean,
        float(np.percentile(values, 90)),
        float(np.percentile(values, 99)),
        float(values.std(ddof=1)) / mean if len(values) > 1 and mean else 0.0,
        busy,
    )


def ratios(
    times: Mapping[str, Seconds], paired: Callable[[str, str], bool] = lambda *_: True, seed: int = 0
) -> list[TimeRatio]:
    """Compare every pair of environments, by seconds ``[repeats, images]``; ``paired`` took turns."""
    pairs = list(itertools.combinations(times, 2))
    plain = {pair: _chance(*(_medians(times[name]) for name in pair), paired=paired(*pair)) for pair in pairs}
    corrected = holm(plain)
    return [_ratio(*pair, times, corrected[pair], seed) for pair in pairs]


def _ratio(first: str, second: str, times: Mapping[str, Seconds], p: float, seed: int) -> TimeRatio:
    one, other = (np.asarray(times[name], np.float64) for name in (first, second))
    low, high = _interval(one, other, seed)
    ratio = float(np.median(other) / np.median(one))
    return TimeRatio(first, second, ratio, low, high, p, effect=cliff(other.ravel(), one.ravel()))


def _interval(one: Seconds, other: Seconds, seed: int) -> tuple[float, float]:
    """Return the bootstrap interval of the ratio of medians; repeats are drawn in pairs, as they were run."""
    draw = np.random.default_rng(seed)
    number = min(len(one), len(other))
    rows = draw.integers(0, number, (RESAMPLES, number))
    found = np.median(other[rows], axis=(1, 2)) / np.median(one[rows], axis=(1, 2))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(found, [tail, 100 - tail])
    return float(low), float(high)


def _medians(seconds: Seconds) -> Seconds:
    return np.asarray(np.median(np.asarray(seconds, np.float64), axis=1))


def _chance(one: Seconds, other: Seconds, *, paired: bool) -> float:
    from scipy.stats import mannwhitneyu, wilcoxon

    if not paired or len(one) != len(other):
        return float(mannwhitneyu(one, other).pvalue)
    return float(wilcoxon(other - one).pvalue) if (other != one).any() else 1.0


def cliff(one: Seconds, other: Seconds) -> float:
    """Return Cliff's delta: how much more often the first is larger than smaller, -1 to 1."""
    ordered = np.sort(other)
    below = np.searchsorted(ordered, one, side="left").sum()
    above = (len(ordered) - np.searchsorted(ordered, one, side="right")).sum()
    return float(below - above) / (len(one) * len(ordered))


def gain(before: float, after: float) -> float:
    """Return by what percentage of the time before something is faster, negative where it is slower.

    As in tables III and IV of Louloudakis et al., DeltaNN, 2023, *% to Basic*.
    """
    return 100 * (before - after) / before


def anova(groups: Sequence[Seconds]) -> float:
    """Return the probability that several environments take the same time: one-way analysis of variance.

    Of the per-image means, as in Louloudakis et al., DeltaNN, 2023.
    """
    from scipy.stats import f_oneway

    return float(f_oneway(*(np.asarray(each, np.float64).mean(axis=0) for each in groups)).pvalue)
