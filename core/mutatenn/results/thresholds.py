"""Which of a campaign's thresholds its results do not reach, and whether there are verdicts to speak of."""

from __future__ import annotations

import itertools
from operator import attrgetter
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.verdict import Status
from mutatenn.results.score import MutationScore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

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


@attrs.frozen
class Failed:
    """A threshold that an environment does not reach.

    ``value`` is what it reached, NaN where there was nothing to measure, and ``least`` what it had to.
    ``reason`` is a line with the numbers and the cure, which names the environment if there are several.
    """

    threshold: str
    environment: str
    value: float
    least: float
    reason: str

    def __str__(self) -> str:
        """Return the line that reports and commands print."""
        return f"threshold failed: {self.threshold}: {self.reason}"


def failed(
    thresholds: Thresholds,
    scores: Mapping[str, Operators],
    waiting: Mapping[str, Waiting],
    total: Total,
    *,
    final: bool,
) -> tuple[Failed, ...]:
    """Return the thresholds that are not reached, environment by environment.

    ``scores`` are by environment and operator, of the operators that have mutants there; ``waiting`` counts
    the mutants that have not run, likewise. Unless what has run is ``final``, these have the benefit of the
    doubt: nothing fails that they could still mend. Where none has run yet, nothing fails. ``total`` returns
    the score of some operators of an environment together.
    """
    found = []
    for environment, operators in scores.items():
        place = f"environment {environment!r}: " if len(scores) > 1 else ""
        began = any(score.judged for score in operators.values()) or not any(waiting[environment].values())
        if operators and began:
            judged = _Judged(environment, operators, {} if final else waiting[environment], total)
            for name, least, value, reason in (*_verdicts(thresholds, judged), *_scores(thresholds, judged)):
                found.append(Failed(name, environment, value, least, place + reason))
    return tuple(found)


@attrs.frozen
class _Judged:
    """What an environment has reached, and what still waits there."""

    environment: str
    operators: Operators
    waiting: Waiting
    _total: Total

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


def _verdicts(thresholds: Thresholds, judged: _Judged) -> Iterator[Problem]:
    """Yield that too few mutants have a verdict."""
    least, score = thresholds.min_valid, judged.score()
    if score.judged and judged.hoped().verdict_share < least:
        told = score.judged - sum(score.without_verdict.values())
        mutants = f"{score.judged} mutant{'s' * (score.judged != 1)}"
        share = f"only {told} of {mutants} ({100 * score.verdict_share:.3g} %) have a verdict"
        reason = f"{share}, at least {100 * least:g} % must: {_causes(score)}{_cure(score)}"
        yield "min_valid", least, score.verdict_share, reason


def _scores(thresholds: Thresholds, judged: _Judged) -> Iterator[Problem]:
    """Yield that the score or its low end is too low, or high enough only by operators with few verdicts.

    A mutant that timed out is detected; but where most of an operator's did, that tells of the operator.
    """
    operators = judged.operators
    poor = {name: each for name, each in operators.items() if each.verdict_share < thresholds.min_valid}
    for threshold, least, reached, below in (
        ("min_score", thresholds.min_score, attrgetter("value"), _below),
        ("min_low", thresholds.min_low, attrgetter("low"), _low_below),
    ):
        for left_out in ({}, poor):
            if least is not None and not reached(judged.hoped(left_out)) >= least:  # NaN is below, too
                score, without = judged.score(left_out), _without(left_out)
                cure = _cure(MutationScore.total(each.counts for each in poor.values())) if left_out else ""
                yield threshold, least, reached(score), f"{without}{below(score, least)}{cure}"
                break


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
