"""What a sample of mutants tells about the mutation score of all: intervals with a stated confidence."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95


@attrs.frozen
class Interval:
    """A mutation score, and the interval that holds the true one with a confidence; all from 0 to 1.

    Where nothing valid was sampled, ``score`` is NaN and the interval is all there is, 0 to 1.
    """

    score: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    @property
    def width(self) -> float:
        """From the low end to the high end."""
        return self.high - self.low

    def narrow_enough(self, width: float) -> bool:
        """Tell whether sampling may stop: the interval is no wider than this.

        Looking after every batch costs hardly any confidence, since the width says nothing about the side on
        which the true score lies. (Stopping once the low end passes a threshold would.)
        """
        return self.width <= width


@attrs.frozen
class Stratum:
    """Mutants drawn together without replacement, such as those of one operator.

    Of ``population`` valid mutants, ``valid`` were drawn, and of these ``detected`` were detected. Raises
    ValueError unless ``0 <= detected <= valid <= population``.
    """

    detected: int
    valid: int
    population: float

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.detected <= self.valid <= self.population:
            raise ValueError(f"not 0 <= detected <= valid <= population: {self}")

    @classmethod
    def of(cls, detected: int, valid: int, drawn: int, mutants: int) -> Stratum:
        """Return ``drawn`` of so many planned mutants, of which ``valid`` turned out to be valid.

        As many of all ``mutants`` are taken to be valid as the valid share of those drawn says.
        """
        return cls(detected, valid, mutants * valid / drawn if drawn else mutants)

    def correction(self) -> float:
        """Return the finite population correction of a variance, ``(N - n) / (N - 1)``; 1 without a bound."""
        if math.isinf(self.population) or self.population <= 1:
            return float(self.population > self.valid)
        return (self.population - self.valid) / (self.population - 1)


def wilson(
    detected: int, valid: int, confidence: float = CONFIDENCE, population: float = math.inf
) -> Interval:
    """Return the score ``detected / valid`` of a simple random sample of mutants, and its interval.

    The interval is Wilson's (1927, "Probable inference, the law of succession, and statistical inference").
    For a finite ``population`` of valid mutants, drawn without replacement, the variance is corrected by
    ``(N - n) / (N - 1)`` (Cochran 1977, "Sampling techniques", 2.6), and no end lies beyond what the mutants
    not drawn could make of it; a population drawn as a whole has a point. Over all true scores, the interval
    holds the true one as often as ``confidence`` says; at single ones some points more or less, since counts
    are whole numbers (Brown, Cai and DasGupta 2001). Raises ValueError for impossible numbers.
    """
    stratum = Stratum(detected, valid, population)
    z = _quantile(confidence)
    if not valid:
        return Interval(math.nan, 0.0, 1.0, confidence)
    return _bounded(detected / valid, z * z * stratum.correction() / valid, [stratum], confidence)


def stratified(strata: Sequence[Stratum], confidence: float = CONFIDENCE) -> Interval:
    """Return the score of all mutants from samples of each stratum, weighted by their populations.

    The score is ``sum(N_h p_h) / sum(N_h)``. Its interval is Wilson's for the effective sample size, that of
    a simple random sample with the same variance (Kish 1965; Korn and Graubard 1998). The variance in a
    stratum is that of its score moved towards a half by ``z^2`` more mutants (Agresti and Coull 1998): a few
    mutants that all end alike have none of their own. A stratum of which no valid mutant was drawn counts for
    the score like the others together, and for the ends as detected never, or always. One stratum gives what
    :func:`wilson` does. Raises ValueError if a population is not finite.
    """
    z2 = _quantile(confidence) ** 2
    total = sum(each.population for each in strata)
    if math.isinf(total):
        raise ValueError("a stratum's weight is its population, which must be finite")
    drawn = [each for each in strata if each.valid]
    known = sum(each.population for each in drawn)
    if not drawn:
        return Interval(math.nan, 0.0, 1.0, confidence)
    if all(each.valid == each.population for each in strata):
        exact = sum(each.detected for each in strata) / total
        return Interval(exact, exact, exact, confidence)
    score = sum(each.population * each.detected / each.valid for each in drawn) / known
    inside = _bounded(score, _spread(drawn, known, z2), drawn, confidence)
    share = known / total
    return Interval(score, share * inside.low, share * inside.high + (1 - share), confidence)


def sample_size(width: float, confidence: float = CONFIDENCE, population: float = math.inf) -> int:
    """Return how many valid mutants to draw for an interval no wider than this, whatever the score.

    The worst score is a half, where Wilson's interval is ``z / sqrt(n + z^2)`` wide; of a finite population,
    fewer are needed. Raises ValueError for a width that is not above 0.
    """
    if not width > 0:
        raise ValueError(f"a width above 0 is needed, not {width}")
    needed = _quantile(confidence) ** 2 * (1 / width**2 - 1)
    if needed > 0 and math.isfinite(population):
        needed *= population / (population - 1 + needed)
    return max(1, math.ceil(needed))


def _spread(strata: Sequence[Stratum], total: float, z2: float) -> float:
    """Return ``z2`` over the effective sample size of strata."""
    moved = [(each.detected + z2 / 2) / (each.valid + z2) for each in strata]
    weights = [each.population / total for each in strata]
    variance = sum(
        weight**2 * each.correction() * p * (1 - p) / each.valid
        for weight, each, p in zip(weights, strata, moved, strict=True)
    )
    mean = sum(weight * p for weight, p in zip(weights, moved, strict=True))
    return z2 * variance / (mean * (1 - mean))


def _bounded(score: float, spread: float, strata: Sequence[Stratum], confidence: float) -> Interval:
    """Return Wilson's interval, cut to what those not drawn could make; ``spread`` is ``z^2 / n``."""
    middle = (score + spread / 2) / (1 + spread)
    half = math.sqrt(spread * score * (1 - score) + spread**2 / 4) / (1 + spread)
    total = sum(each.population for each in strata)
    low = sum(each.detected for each in strata) / total
    high = (total - sum(each.valid - each.detected for each in strata)) / total
    return Interval(
        score, min(score, max(middle - half, low)), max(score, min(middle + half, high)), confidence
    )


def _quantile(confidence: float) -> float:
    """Return how many standard deviations to each side of a normal mean hold this much."""
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)
