"""Which of a campaign's thresholds its results do not reach, and whether there are verdicts to speak of."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal

import attrs

from mutatenn.api.verdict import Status
from mutatenn.results.score import MutationScore
from mutatenn.results.wanted import ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from mutatenn.api.baseline import Baseline
    from mutatenn.results.wanted import Thresholds

    Operators = Mapping[str, MutationScore]
    Waiting = Mapping[str, int]
    Total = Callable[[str, Operators], MutationScore]

MOST = 0.5
SHOWN = 3
"""Operators named in a line."""
CURES: dict[Status, str] = {
    Status.BUILD_ERROR: (
        "`mutatenn show RUN MUTANT` tells why one was rejected; mend or leave out its operator"
    ),
    Status.TIMED_OUT: "raise limits.time_factor and limits.time_floor, or leave out the operators that loop",
    Status.INFRASTRUCTURE_ERROR: "run again to retry",
}
"""What to do about mutants that have no verdict."""
LIMITED: dict[Status, str] = {
    Status.TIMED_OUT: "max_timed_out",
    Status.BUILD_ERROR: "max_build_errors",
    Status.INFRASTRUCTURE_ERROR: "max_infrastructure_errors",
}
ENDED: dict[Status, str] = {
    Status.TIMED_OUT: "timed out",
    Status.BUILD_ERROR: "could not be built",
    Status.INFRASTRUCTURE_ERROR: "ended because the machinery failed",
}


@attrs.frozen
class Failed:
    """A threshold that an environment does not reach.

    ``value`` is what it reached, NaN where there was nothing to measure, and ``least`` the threshold: what it
    had to reach, or, of those that begin with ``max_``, the most there may be. ``reason`` is a line with the
    numbers and the cure, which names the environment if there are several.
    """

    threshold: str
    environment: str
    value: float
    least: float
    reason: str

    def __str__(self) -> str:
        """Return the line that reports and commands print."""
        return f"threshold failed: {self.threshold}: {self.reason}"


@attrs.frozen
class Reached:
    """What an environment has reached: the scores of its operators that have mutants there.

    ``waiting`` counts the mutants that have not run, by operator, ``total`` returns the score of some
    operators together. ``categories`` are those of the operators, ``new`` the survivors that are neither
    accepted nor known from an earlier run.
    """

    environment: str
    operators: Operators
    waiting: Waiting
    _total: Total
    categories: Mapping[str, str] = attrs.field(factory=dict)
    new: Sequence[str] = ()

    @property
    def began(self) -> bool:
        """Whether some mutant has run, or none is left to."""
        return any(score.judged for score in self.operators.values()) or not any(self.waiting.values())

    def score(self, without: Collection[str] = ()) -> MutationScore:
        """Return the score without some operators."""
        rest = {name: score for name, score in self.operators.items() if name not in without}
        return self._total(self.environment, rest)

    def hoped(self, without: Collection[str] = ()) -> MutationScore:
        """Return the score that there would be if all that waits were killed."""
        rest = {name: score for name, score in self.operators.items() if name not in without}
        return self._total(
            self.environment, {name: self._killed(name, score) for name, score in rest.items()}
        )

    def _killed(self, operator: str, score: MutationScore) -> MutationScore:
        return MutationScore.total([score.counts, {Status.KILLED: self.waiting.get(operator, 0)}])

    def only(self, name: str) -> Reached:
        """Return what an operator, those of a category, or all have reached."""
        if name == ALL:
            return self
        of = {each for each in self.operators if name in (each, self.categories.get(each))}
        operators = {each: score for each, score in self.operators.items() if each in of}
        return attrs.evolve(self, operators=operators)


def failed(thresholds: Thresholds, reached: Sequence[Reached], *, final: bool) -> tuple[Failed, ...]:
    """Return the thresholds that are not reached, environment by environment.

    Unless what has run is ``final``, mutants that wait have the benefit of the doubt: nothing fails that they
    could still mend. Where none has run yet, nothing fails.
    """
    found = []
    for each in reached:
        place = f"environment {each.environment!r}: " if len(reached) > 1 else ""
        if each.operators and each.began:
            judged = attrs.evolve(each, waiting={}) if final else each
            problems = (
                *_verdicts(thresholds, judged),
                *_scores(thresholds, judged),
                *_most(thresholds, judged),
            )
            for name, least, value, reason in problems:
                found.append(Failed(name, each.environment, value, least, place + reason))
    return tuple(found)


def failed_originals(thresholds: Thresholds, baselines: Mapping[str, Baseline]) -> tuple[Failed, ...]:
    """Return the thresholds that originals do not reach, by environment."""
    found = []
    for name, baseline in baselines.items():
        place = f"environment {name!r}: " if len(baselines) > 1 else ""
        for threshold, least, value, reason in _original(thresholds, baseline):
            found.append(Failed(threshold, name, value, least, place + reason))
    return tuple(found)


def _original(thresholds: Thresholds, baseline: Baseline) -> Iterator[Problem]:
    least, most = thresholds.min_relative_accuracy, thresholds.max_label_changes
    if least is not None:
        share = _relative(baseline)
        if math.isnan(share):
            reason = "there is no accuracy to compare: set dataset.truth"
            yield "min_relative_accuracy", least, share, reason
        elif share < least:
            told = (
                f"{baseline.accuracy:.4g} is {share:.4g} of the framework's {baseline.reference_accuracy:.4g}"
            )
            yield "min_relative_accuracy", least, share, f"the accuracy {told}, below {least:g}"
    changed = baseline.images - baseline.reference_labels
    if most is not None and changed > most:
        images = f"{changed} of {baseline.images} images"
        reason = (
            f"the label is not the framework's on {images}, at most {most} may be: `mutatenn compare RUN`"
        )
        yield "max_label_changes", most, changed, reason


def _relative(baseline: Baseline) -> float:
    """Return the accuracy as a share of the framework's, NaN where one is not known."""
    ours, theirs = baseline.accuracy, baseline.reference_accuracy
    if ours is None or theirs is None:
        return math.nan
    return ours / theirs if theirs else 1.0


def few_verdicts(operators: Operators) -> dict[str, MutationScore]:
    """Return the operators of whose mutants more than half have no verdict."""
    return {name: score for name, score in operators.items() if score.verdict_share < MOST}


def without_verdict(score: MutationScore) -> str:
    """Say ``3 of 4 mutants have no verdict: 3 timed out``."""
    number = sum(score.without_verdict.values())
    mutants, have = ("mutant", "has") if score.judged == 1 else ("mutants", "have")
    return f"{number} of {score.judged} {mutants} {have} no verdict: {_causes(score)}"


def _causes(score: MutationScore) -> str:
    return ", ".join(f"{number} {_named(each, number)}" for each, number in score.without_verdict.items())


def _named(status: Status, number: int) -> str:
    words = status.replace("-", " ")
    return f"{words}s" if words.endswith("error") and number != 1 else words


Problem = tuple[str, float, float, str]
"""The threshold's name, the least, what was reached, the reason."""


def _verdicts(thresholds: Thresholds, reached: Reached) -> Iterator[Problem]:
    """Yield that too few mutants have a verdict."""
    least, score = thresholds.min_valid, reached.score()
    if score.judged and reached.hoped().verdict_share < least:
        told = score.judged - sum(score.without_verdict.values())
        mutants = f"{score.judged} mutant{'s' * (score.judged != 1)}"
        share = f"only {told} of {mutants} ({100 * score.verdict_share:.3g} %) have a verdict"
        reason = f"{share}, at least {100 * least:g} % must: {_causes(score)}{_cure(score)}"
        yield "min_valid", least, score.verdict_share, reason


def _scores(thresholds: Thresholds, reached: Reached) -> Iterator[Problem]:
    """Yield that a score or its low end is too low."""
    for name, least in thresholds.min_scores.items():
        part = reached.only(name)
        if part.operators:
            for value, reason in _least(part, least, thresholds.min_valid, "value"):
                yield "min_score", least, value, reason if name == ALL else f"of {name}: {reason}"
    if (least_low := thresholds.min_low) is not None:
        for value, reason in _least(reached, least_low, thresholds.min_valid, "low"):
            yield "min_low", least_low, value, reason


def _least(
    reached: Reached, least: float, min_valid: float, key: Literal["value", "low"]
) -> Iterator[tuple[float, str]]:
    """Yield that a score, or its low end, is too low, or high enough only by operators with few verdicts.

    A mutant that timed out is detected; but where most of an operator's did, that tells of the operator.
    """
    poor = {name: each for name, each in reached.operators.items() if each.verdict_share < min_valid}
    for left_out in ({}, poor):
        if not getattr(reached.hoped(left_out), key) >= least:  # NaN is below, too
            score = reached.score(left_out)
            below = (_below if key == "value" else _low_below)(score, least)
            cure = _cure(MutationScore.total(each.counts for each in poor.values())) if left_out else ""
            yield getattr(score, key), f"{_without(left_out)}{below}{cure}"
            break


def _most(thresholds: Thresholds, reached: Reached) -> Iterator[Problem]:
    """Yield that too many mutants ended in some way."""
    score, most = reached.score(), thresholds.max_new_survivors
    if most is not None and len(reached.new) > most:
        yield "max_new_survivors", most, len(reached.new), _new(reached.new, most)
    for status, name in LIMITED.items():
        limit, number = getattr(thresholds, name), score.counts[status]
        if limit is not None and number > limit:
            mutants = f"{number} mutant{'s' * (number != 1)}"
            yield name, limit, number, f"{mutants} {ENDED[status]}, at most {limit} may; {CURES[status]}"


def _new(survivors: Sequence[str], most: int) -> str:
    number = len(survivors)
    new = "survivor is new" if number == 1 else "survivors are new"
    named = ", ".join([*survivors[:SHOWN], *(["..."] * (number > SHOWN))])
    cure = "`mutatenn show RUN MUTANT` shows one, [[accept]] accepts it"
    return f"{number} {new}, at most {most} may be: {named}; {cure}"


def _below(score: MutationScore, least: float) -> str:
    if not score.valid:
        return f"there is no mutation score, so none of {least:g}: no mutant ran that is not equivalent"
    return f"the mutation score is {score.value:.4g} ({_detected(score)}), below {least:g}"


def _low_below(score: MutationScore, least: float) -> str:
    if score.interval is None:
        return (
            f"the score's interval is not known, so no low end of {least:g}: it takes mutants drawn at "
            "random, none skipped, combined or asked for twice, that have all run"
        )
    found = score.interval
    told = f"{found.low:.4g} (score {found.score:.4g}, {_detected(score)})" if score.valid else "0 (no score)"
    return f"the low end of the mutation score's interval is {told}, below {least:g}"


def _detected(score: MutationScore) -> str:
    weighted = ", weighted by operator" if score.sampled else ""
    return f"{score.detected} of {score.valid} mutants detected{weighted}"


def _without(poor: Operators) -> str:
    told = [f"{name} ({without_verdict(each)})" for name, each in itertools.islice(poor.items(), SHOWN)]
    more = [f"{len(poor) - SHOWN} more"] if len(poor) > SHOWN else []
    return f"without {', '.join([*told, *more])} " if poor else ""


def _cure(score: MutationScore) -> str:
    """Say what to do about the most frequent reason for which mutants have no verdict."""
    cause = next(iter(score.without_verdict), None)
    return f"; {CURES[cause]}" if cause in CURES else ""
