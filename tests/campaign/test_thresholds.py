"""Thresholds on counts made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest

from mutatenn.api.baseline import Baseline
from mutatenn.api.verdict import Status
from mutatenn.campaign.config.values import Thresholds
from mutatenn.results.estimate import wilson
from mutatenn.results.score import MutationScore
from mutatenn.results.thresholds import (
    Failed,
    Reached,
    failed,
    failed_originals,
    few_verdicts,
    without_verdict,
)

Counts = Mapping[Status, int]
FINE: Counts = {"killed": 4, "survived": 6}
LOOPS: Counts = {"timed-out": 9}
BROKEN: Counts = {"build-error": 9, "killed": 1}
CATEGORIES = {"a": "LN", "b": "LN", "c": "CSO"}


def operators(**counts: Counts) -> dict[str, MutationScore]:
    return {name: MutationScore.total([each]) for name, each in counts.items()}


def together(_environment: str, scores: Mapping[str, MutationScore]) -> MutationScore:
    """Return the score of operators all of whose mutants have run."""
    return MutationScore.total(each.counts for each in scores.values())


def sampled(environment: str, scores: Mapping[str, MutationScore]) -> MutationScore:
    """Return the score of operators of whose mutants these are a few."""
    found = together(environment, scores)
    return attrs.evolve(found, interval=wilson(found.detected, found.valid))


def cpu(total: Any = together, **counts: Counts) -> Reached:
    """Return what an environment has reached in which all have run."""
    return Reached("cpu", operators(**counts), {}, total)


def check(*, waiting: int = 0, final: bool = False, new: Sequence[str] = (), **options: Any) -> list[str]:
    """Return the names of the thresholds that fail in one environment; other options are counts."""
    kept = {name: options.pop(name) for name in [*options] if name.startswith(("min_", "max_"))}
    reached = Reached("cpu", operators(**options), {"a": waiting}, together, CATEGORIES, new)
    return [each.threshold for each in failed(Thresholds(**kept), [reached], final=final)]


@pytest.mark.parametrize("status", Status)
def test_what_has_no_verdict(status: Status) -> None:
    assert check(a={status: 6, "survived": 5}) == (["min_valid"] if not status.is_verdict else [])
    assert check(a={status: 5, "survived": 5}) == []
    assert check(a={status: 99}, min_valid=0) == []


def test_the_line_names_numbers_reasons_and_the_cure() -> None:
    counts: Counts = {"killed": 31, "build-error": 250, "timed-out": 20, "infrastructure-error": 1}
    (found,) = failed(Thresholds(), [cpu(a=counts)], final=False)
    assert str(found) == (
        "threshold failed: min_valid: only 31 of 302 mutants (10.3 %) have a verdict, at least 50 % must: "
        "250 build errors, 20 timed out, 1 infrastructure error; `mutatenn show RUN MUTANT` tells why one "
        "was rejected; mend or leave out its operator"
    )


def test_every_environment_is_checked_and_named() -> None:
    scores = {"cpu": operators(a=FINE), "gpu": operators(a=LOOPS), "board": operators(a=FINE, b=LOOPS)}
    reached = [Reached(name, each, {}, together) for name, each in scores.items()]
    found = failed(Thresholds(0.4), reached, final=True)
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
    found = failed(Thresholds(0.5), [cpu(**counts)], final=False)
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
        found = failed(Thresholds(min_low=least), [Reached("cpu", scores, {}, sampled)], final=False)
        assert [each.threshold for each in found] == (["min_low"] if least > interval.low else [])


def test_what_is_told_of_a_low_end() -> None:
    def told(total: Any, counts: Counts) -> str:
        (found,) = failed(Thresholds(min_low=0.2), [cpu(total, a=counts)], final=False)
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
        reached = Reached("cpu", operators(a=FINE), {"a": waiting}, sampled)
        found = failed(Thresholds(min_low=low), [reached], final=False)
        assert bool(found) is fails


def test_scores_of_operators_and_categories() -> None:
    counts: dict[str, Any] = {"a": FINE, "b": {"killed": 9, "survived": 1}, "c": {"killed": 1, "survived": 9}}
    assert check(min_score={"all": 0.4, "a": 0.4, "b": 0.9, "LN": 0.65, "CSO": 0.1}, **counts) == []
    for name in ("all", "a", "b", "c", "LN", "CSO"):
        assert check(min_score={name: 0.95}, **counts) == ["min_score"]
    assert check(min_score={"d": 1, "AT": 1}, **counts) == [], "this environment has no such operator"
    (found,) = failed(
        Thresholds({"LN": 0.7}), [Reached("cpu", operators(a=FINE), {}, together, CATEGORIES)], final=True
    )
    assert found.reason == "of LN: the mutation score is 0.4 (4 of 10 mutants detected), below 0.7"


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("max_timed_out", "timed-out", "3 mutants timed out, at most 2 may; raise limits.time_factor"),
        ("max_build_errors", "build-error", "3 mutants could not be built, at most 2 may; `mutatenn show"),
        ("max_infrastructure_errors", "infrastructure-error", "3 mutants ended because the machinery failed"),
    ],
)
def test_how_many_may_end_otherwise(name: str, status: Status, reason: str) -> None:
    counts = {**FINE, status: 3}
    assert check(a=counts, waiting=5, **{name: 3}) == []
    assert check(a=counts, waiting=5, **{name: 2}) == [name], "no mutant that waits can mend it"
    (found,) = failed(Thresholds(min_valid=0, **{name: 2}), [cpu(a=counts)], final=False)
    assert (found.value, found.least) == (3, 2)
    assert found.reason.startswith(reason)


def test_new_survivors() -> None:
    assert check(a=FINE, max_new_survivors=2, new=("x", "y")) == []
    assert check(a=FINE, max_new_survivors=0) == []
    assert check(a=FINE, max_new_survivors=1, new=("x", "y"), waiting=1) == ["max_new_survivors"]
    reached = Reached("cpu", operators(a=FINE), {}, together, {}, ("s", "t", "u", "v"))
    (found,) = failed(Thresholds(max_new_survivors=0), [reached], final=True)
    assert found.reason.startswith("4 survivors are new, at most 0 may be: s, t, u, ...; ")


def test_demands_stand_in_the_place_of_thresholds() -> None:
    given = Thresholds(min_score={"all": 0.5, "a": 0.4}, max_timed_out=3)
    found = given.demanding({"min_score": {"a": 0.9, "b": 0.1}, "min_valid": 0.2})
    assert found == Thresholds({"all": 0.5, "a": 0.9, "b": 0.1}, None, 0.2, None, 3)
    assert Thresholds(0.5).demanding({"min_score": 0.7}) == Thresholds({"all": 0.7})
    with pytest.raises(ValueError, match="min_score is"):
        Thresholds({"a": 1.5})


def original(**fields: Any) -> Baseline:
    given: dict[str, Any] = {
        "images": 100,
        "reference_labels": 97,
        "accuracy": 0.72,
        "reference_accuracy": 0.75,
    }
    return Baseline(
        "cpu", kind="logits", noise=0.0, reference_difference=0.0, labels=10, seconds=0.1, **given | fields
    )


def test_what_an_original_must_reach() -> None:
    one = {"cpu": original()}
    assert failed_originals(Thresholds(), one) == ()
    assert failed_originals(Thresholds(min_relative_accuracy=0.96, max_label_changes=3), one) == ()
    accuracy, labels = failed_originals(Thresholds(min_relative_accuracy=0.97, max_label_changes=2), one)
    assert (accuracy.threshold, accuracy.least) == ("min_relative_accuracy", 0.97)
    assert accuracy.value == pytest.approx(0.96)
    assert accuracy.reason == "the accuracy 0.72 is 0.96 of the framework's 0.75, below 0.97"
    assert (labels.threshold, labels.value, labels.least) == ("max_label_changes", 3, 2)
    assert labels.reason.startswith("the label is not the framework's on 3 of 100 images, at most 2 may be")
    (unknown,) = failed_originals(Thresholds(min_relative_accuracy=0.9), {"cpu": original(accuracy=None)})
    assert "set dataset.truth" in unknown.reason
    assert (
        failed_originals(
            Thresholds(min_relative_accuracy=0.9), {"x": original(accuracy=0.0, reference_accuracy=0.0)}
        )
        == ()
    )
    assert len(failed_originals(Thresholds(max_label_changes=0), {"a": original(), "b": original()})) == 2
