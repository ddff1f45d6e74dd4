"""Thresholds on counts made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from mutatenn.api.verdict import Status
from mutatenn.campaign.config.values import Thresholds
from mutatenn.results.estimate import wilson
from mutatenn.results.score import MutationScore
from mutatenn.results.thresholds import Failed, failed, few_verdicts, without_verdict

Counts = Mapping[Status, int]
FINE: Counts = {"killed": 4, "survived": 6}
LOOPS: Counts = {"timed-out": 9}
BROKEN: Counts = {"build-error": 9, "killed": 1}


def operators(**counts: Counts) -> dict[str, MutationScore]:
    return {name: MutationScore.total([each]) for name, each in counts.items()}


def together(_environment: str, scores: Mapping[str, MutationScore]) -> MutationScore:
    """Return the score of operators all of whose mutants have run."""
    return MutationScore.total(each.counts for each in scores.values())


def sampled(environment: str, scores: Mapping[str, MutationScore]) -> MutationScore:
    """Return the score of operators of whose mutants these are a few."""
    found = together(environment, scores)
    return attrs.evolve(found, interval=wilson(found.detected, found.valid))


def check(
    *,
    min_score: float | None = None,
    min_low: float | None = None,
    min_valid: float = 0.5,
    waiting: int = 0,
    final: bool = False,
    **counts: Any,
) -> list[str]:
    """Return the names of the thresholds that fail in one environment."""
    thresholds, scores = Thresholds(min_score, min_low, min_valid), {"cpu": operators(**counts)}
    found = failed(thresholds, scores, {"cpu": {"a": waiting}}, together, final=final)
    return [each.threshold for each in found]


@pytest.mark.parametrize("status", Status)
def test_what_has_no_verdict(status: Status) -> None:
    assert check(a={status: 6, "survived": 5}) == (["min_valid"] if not status.is_verdict else [])
    assert check(a={status: 5, "survived": 5}) == []
    assert check(a={status: 99}, min_valid=0) == []


def test_the_line_names_numbers_reasons_and_the_cure() -> None:
    counts: Counts = {"killed": 31, "build-error": 250, "timed-out": 20, "infrastructure-error": 1}
    (found,) = failed(Thresholds(), {"cpu": operators(a=counts)}, {"cpu": {}}, together, final=False)
    assert str(found) == (
        "threshold failed: min_valid: only 31 of 302 mutants (10.3 %) have a verdict, at least 50 % must: "
        "250 build errors, 20 timed out, 1 infrastructure error; `mutatenn show RUN MUTANT` tells why one "
        "was rejected; mend or leave out its operator"
    )


def test_every_environment_is_checked_and_named() -> None:
    scores = {"cpu": operators(a=FINE), "gpu": operators(a=LOOPS), "board": operators(a=FINE, b=LOOPS)}
    found = failed(Thresholds(0.4), scores, {key: {} for key in scores}, together, final=True)
    assert [(each.threshold, each.environment) for each in found] == [
        ("min_valid", "gpu"),
        ("min_score", "gpu"),
    ]
    assert found[0].reason.startswith("environment 'gpu': only 0 of 9 mutants (0 %) have a verdict")


@pytest.mark.parametrize(
    ("counts", "value", "reason"),
    [
        ({"a": FINE}, 0.4, "the mutation score is 0.4 (4 of 10 mutants detected), below 0.5"),
        (
            {"a": FINE, "b": {"timed-out": 9, "killed": 1}},
            0.4,
            (
                "without b (9 of 10 mutants have no verdict: 9 timed out) the mutation score is 0.4 (4 of 10 "
                "mutants detected), below 0.5; raise limits.time_factor and limits.time_floor, or leave out "
                "the operators that loop"
            ),
        ),
        (
            {"a": {"equivalent": 3}},
            math.nan,
            "there is no mutation score, so none of 0.5: no mutant ran that is not equivalent",
        ),
    ],
)
def test_a_score_too_low(counts: dict[str, Counts], value: float, reason: str) -> None:
    found = failed(Thresholds(0.5), {"cpu": operators(**counts)}, {"cpu": {}}, together, final=False)
    assert found == (Failed("min_score", "cpu", pytest.approx(value, nan_ok=True), 0.5, reason),)


def test_timeouts_count_as_detected_where_they_are_few() -> None:
    assert check(min_score=0.5, a={"killed": 4, "timed-out": 1, "survived": 5}) == []
    assert check(min_score=0.5, a=FINE, b={"timed-out": 5, "killed": 4}) == ["min_score"]
    assert check(min_score=0.5, min_valid=0, a=FINE, b={"timed-out": 5, "killed": 4}) == []


def test_an_operator_that_cannot_be_built_does_not_make_the_score() -> None:
    assert check(min_score=0.2, a=BROKEN) == ["min_valid", "min_score"]
    assert check(min_score=0.45, a=FINE, b=FINE, c=BROKEN) == ["min_score"]


def test_what_has_not_run_has_the_benefit_of_the_doubt() -> None:
    assert check(a=LOOPS, waiting=9) == []
    assert check(a=LOOPS, waiting=8) == ["min_valid"]
    assert check(a=LOOPS, waiting=9, final=True) == ["min_valid"]
    assert check(a=FINE, min_score=0.5, waiting=2) == []
    assert check(a=FINE, min_score=0.5, waiting=1) == ["min_score"]
    assert check(a=FINE, min_score=0.5, waiting=2, final=True) == ["min_score"]


@pytest.mark.parametrize("final", [True, False])
def test_where_nothing_has_run_nothing_fails(final: bool) -> None:
    assert check(min_score=1, final=final) == []
    assert check(min_score=1, a={}, waiting=1, final=final) == []
    assert check(a={}, final=final) == []
    assert check(min_score=0.1, a={}, final=final) == ["min_score"], "all that there is was skipped"


def test_operators_with_few_verdicts() -> None:
    every = operators(fine=FINE, loops=LOOPS, broken=BROKEN, half={"killed": 1, "timed-out": 1}, idle={})
    assert list(few_verdicts(every)) == ["loops", "broken"]
    assert without_verdict(every["broken"]) == "9 of 10 mutants have no verdict: 9 build errors"
    one = operators(a={"build-error": 1})["a"]
    assert without_verdict(one) == "1 of 1 mutant has no verdict: 1 build error"


@pytest.mark.parametrize("counts", [{"a": FINE}, {"a": {"equivalent": 3}}, {"a": {**FINE, "timed-out": 5}}])
def test_the_low_end_of_the_interval_is_what_a_gate_may_ask_for(counts: dict[str, Counts]) -> None:
    scores = operators(**counts)
    interval = sampled("cpu", scores).interval
    assert interval
    for least in (interval.low, interval.low + 0.001):
        found = failed(Thresholds(min_low=least), {"cpu": scores}, {"cpu": {}}, sampled, final=False)
        assert [each.threshold for each in found] == (["min_low"] if least > interval.low else [])


def test_what_is_told_of_a_low_end() -> None:
    def told(total: Any, counts: Counts) -> str:
        (found,) = failed(
            Thresholds(min_low=0.2), {"cpu": operators(a=counts)}, {"cpu": {}}, total, final=False
        )
        return found.reason

    assert told(sampled, FINE) == (
        "the low end of the mutation score's interval is 0.1682 (score 0.4, 4 of 10 mutants detected, "
        "weighted by operator), below 0.2"
    )
    assert told(sampled, {"equivalent": 1}).endswith("is 0 (no score), below 0.2")
    assert told(together, FINE).startswith("the score's interval is not known, so no low end of 0.2: ")


def test_mutants_that_wait_count_for_the_low_end_as_if_killed() -> None:
    low = sampled("cpu", operators(a={**FINE, "killed": 14})).low
    for waiting, fails in ((10, False), (9, True)):
        found = failed(
            Thresholds(min_low=low), {"cpu": operators(a=FINE)}, {"cpu": {"a": waiting}}, sampled, final=False
        )
        assert bool(found) is fails
