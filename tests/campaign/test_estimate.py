"""Intervals of the mutation score: published values, other implementations, and simulated samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, hypergeom

from mutatenn.results.estimate import Interval, Stratum, sample_size, stratified, wilson

SAMPLES = 4000


@pytest.mark.parametrize(
    ("detected", "valid", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_s_interval_as_newcombe_printed_it(detected: int, valid: int, low: float, high: float) -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    found = wilson(detected, valid)
    assert found.score == detected / valid
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(1, 500), st.data(), st.floats(0.5, 0.999))
def test_wilson_s_interval_is_scipy_s(valid: int, data: st.DataObject, confidence: float) -> None:
    detected = data.draw(st.integers(0, valid))
    expected = binomtest(detected, valid).proportion_ci(confidence, "wilson")
    found = wilson(detected, valid, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.confidence == confidence


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60))
def test_an_interval_holds_its_score_and_what_is_possible(detected: int, missed: int, rest: int) -> None:
    valid, population = detected + missed, detected + missed + rest
    found = wilson(detected, valid, population=population)
    everything = wilson(detected, valid)
    if not valid:
        assert math.isnan(found.score)
        assert (found.low, found.high) == (0, 1)
        return
    assert detected / population <= found.low <= found.score <= found.high <= 1 - missed / population + 1e-12
    assert everything.low - 1e-12 <= found.low <= found.high <= everything.high + 1e-12
    if not rest:
        assert found.low == found.high == found.score


def test_a_finite_population_narrows_by_its_correction() -> None:
    """At a half, Wilson's interval is z' / sqrt(n + z'^2) wide, with z'^2 = z^2 (N - n) / (N - 1)."""
    squared = 1.959963984540054**2 * (400 - 100) / (400 - 1)
    assert wilson(50, 100, population=400).width == pytest.approx(math.sqrt(squared / (100 + squared)))


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("population", "drawn"), [(200, 20), (200, 150), (1000, 50), (60, 30)])
def test_coverage_over_all_scores(population: int, drawn: int, confidence: float) -> None:
    """Exact: the chance of every count under every number of detected mutants."""
    intervals = [wilson(count, drawn, confidence, population) for count in range(drawn + 1)]
    detected = np.arange(population + 1)[:, None]
    chances = hypergeom.pmf(np.arange(drawn + 1), population, detected, drawn)
    low, high = np.array([(each.low, each.high) for each in intervals]).T
    holds = (low <= detected / population + 1e-12) & (detected / population <= high + 1e-12)
    assert (chances * holds).sum(axis=1).mean() >= confidence - 0.005


def test_coverage_of_samples() -> None:
    """Simulated: draw mutants from campaigns of any score."""
    chance = np.random.default_rng(1)
    held = []
    for detected in chance.integers(0, 501, SAMPLES).tolist():
        found = wilson(int(chance.hypergeometric(detected, 500 - detected, 80)), 80, population=500)
        held.append(found.low <= detected / 500 <= found.high)
    assert 0.94 <= np.mean(held) <= 0.97


def covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([each.low <= truth <= each.high for each in intervals]))


def strata(chance: np.random.Generator, number: int, most: int) -> tuple[list[int], list[int], float]:
    """Return populations, how many of each are detected, and the score; operators differ widely."""
    populations = chance.integers(2, most, number)
    detected = chance.binomial(populations, chance.beta(0.4, 0.4, number))
    return populations.tolist(), detected.tolist(), detected.sum() / populations.sum()


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize(("number", "most"), [(5, 300), (12, 60), (40, 1000)])
@pytest.mark.parametrize("drawn", [1, 3, 10, 20])
def test_coverage_of_strata(number: int, most: int, drawn: int, confidence: float) -> None:
    chance = np.random.default_rng(7)
    populations, detected, truth = strata(chance, number, most)
    intervals = []
    for _ in range(SAMPLES // 4):
        found = [
            Stratum(int(chance.hypergeometric(good, size - good, min(drawn, size))), min(drawn, size), size)
            for size, good in zip(populations, detected, strict=True)
        ]
        intervals.append(stratified(found, confidence))
    assert covered(intervals, truth) >= confidence - 0.02


def test_strata_that_differ_give_a_narrower_interval_than_their_pool() -> None:
    each = [Stratum(48, 50, 1000), Stratum(2, 50, 1000)]
    assert stratified(each).score == wilson(50, 100).score == 0.5
    assert stratified(each).width < 0.6 * wilson(50, 100, population=2000).width


def test_strata_are_weighted_by_their_populations() -> None:
    assert stratified([Stratum(10, 10, 300), Stratum(0, 10, 100)]).score == 0.75


@given(st.integers(1, 60), st.data())
def test_one_stratum_is_a_simple_sample(valid: int, data: st.DataObject) -> None:
    detected, rest = data.draw(st.integers(0, valid)), data.draw(st.integers(0, 90))
    found = stratified([Stratum(detected, valid, valid + rest)])
    expected = wilson(detected, valid, population=valid + rest)
    assert (found.score, found.low, found.high) == pytest.approx(
        (expected.score, expected.low, expected.high)
    )


def test_what_is_fully_drawn_is_known() -> None:
    found = stratified([Stratum(3, 4, 4), Stratum(0, 1, 1)])
    assert (found.score, found.low, found.high) == (0.6, 0.6, 0.6)


def test_a_stratum_not_drawn_may_be_anything() -> None:
    found = stratified([Stratum(4, 4, 4), Stratum(2, 4, 4), Stratum(0, 0, 8)])
    assert (found.score, found.low, found.high) == (0.75, 0.375, 0.875)
    nothing = stratified([Stratum(0, 0, 8)])
    assert math.isnan(nothing.score)
    assert (nothing.low, nothing.high) == (0, 1)


def test_the_valid_population_is_estimated() -> None:
    assert Stratum.of(2, 3, drawn=4, mutants=40) == Stratum(2, 3, 30.0)
    assert Stratum.of(0, 0, drawn=0, mutants=40) == Stratum(0, 0, 40)
    for drawn in range(1, 200):  # all drawn: all known, whatever rounding does
        assert Stratum.of(1, 1, drawn, drawn).correction() == 0


@pytest.mark.parametrize("population", [math.inf, 10_000, 300, 40, 2])
@pytest.mark.parametrize("width", [0.02, 0.1, 0.3])
def test_the_sample_size_is_enough_and_no_more(width: float, population: float) -> None:
    size = sample_size(width, population=population)
    widths = [wilson(count, size, population=population).width for count in range(size + 1)]
    assert max(widths) <= width + 1e-12
    fewer = size - 2 + size % 2
    if fewer > 0:  # even, so that half of it is a count
        assert not wilson(fewer // 2, fewer, population=population).narrow_enough(width * 0.999)


def test_sizes_in_the_textbook() -> None:
    """Wald's interval needs 385 for five points to each side; Wilson's z^2 fewer."""
    assert sample_size(0.1) == 385 - 4
    assert sample_size(1.0) == sample_size(5.0) == 1


def test_stopping_when_narrow_keeps_the_confidence() -> None:
    chance = np.random.default_rng(3)
    intervals = []
    for _ in range(1500):
        order = chance.permutation(np.arange(600) < 480)
        for drawn in range(20, 601, 20):
            found = wilson(int(order[:drawn].sum()), drawn, population=600)
            if found.narrow_enough(0.12):
                break
        intervals.append(found)
    assert covered(intervals, 0.8) >= 0.93
    assert max(each.width for each in intervals) <= 0.12


@pytest.mark.parametrize("numbers", [(-1, 3, 4), (3, 2, 4), (2, 5, 4)])
def test_impossible_counts(numbers: tuple[int, int, int]) -> None:
    detected, valid, population = numbers
    with pytest.raises(ValueError, match="0 <= detected <= valid <= population"):
        wilson(detected, valid, population=population)


def test_other_impossible_numbers() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, not 95"):
        wilson(1, 2, confidence=95)
    with pytest.raises(ValueError, match="must be finite"):
        stratified([Stratum(1, 2, math.inf)])
    with pytest.raises(ValueError, match="above 0"):
        sample_size(0)
