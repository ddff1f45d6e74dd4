"""Which of a campaign's thresholds its results do not reach, and whether there are verdicts to speak of."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.verdict import Status
from mutatenn.results.score import MutationScore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mutatenn.results.wanted import Thresholds

    Operators = Mapping[str, MutationScore]

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
    thresholds: Thresholds, scores: Mapping[str, Operators], waiting: Mapping[str, int], *, final: bool
) -> tuple[Failed, ...]:
    """Return the thresholds that are not reached, environment by environment.

    ``scores`` are by environment and operator, of the operators that have mutants there; ``waiting`` counts
    the mutants of an environment that have not run. Unless what has run is ``final``, these have the benefit
    of the doubt: nothing fails that they could still mend. Where none has run yet, nothing fails.
    """
    found = []
    for environment, operators in scores.items():
        place = f"environment {environment!r}: " if len(scores) > 1 else ""
        score, wait = _total(operators), waiting[environment]
        if operators and (score.judged or not wait):
            hope = 0 if final else wait
            for name, least, value, reason in (
                *_verdicts(thresholds, score, hope),
                *_score(thresholds, operators, hope),
            ):
                found.append(Failed(name, environment, value, least, place + reason))
    return tuple(found)


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


def _verdicts(thresholds: Thresholds, score: MutationScore, hope: int) -> Iterator[Problem]:
    """Yield that too few mutants have a verdict."""
    least, told = thresholds.min_valid, score.judged - sum(score.without_verdict.values())
    if score.judged and (told + hope) / (score.judged + hope) < least:
        mutants = f"{score.judged} mutant{'s' * (score.judged != 1)}"
        share = f"only {told} of {mutants} ({100 * score.verdict_share:.3g} %) have a verdict"
        reason = f"{share}, at least {100 * least:g} % must: {_causes(score)}{_cure(score)}"
        yield "min_valid", least, score.verdict_share, reason


def _score(thresholds: Thresholds, operators: Operators, hope: int) -> Iterator[Problem]:
    """Yield that the score is too low, or high enough only by operators that have too few verdicts.

    A mutant that timed out is detected; but where most of an operator's did, that tells of the operator.
    """
    least = thresholds.min_score
    if least is None:
        return
    poor = {name: each for name, each in operators.items() if each.verdict_share < thresholds.min_valid}
    rest = {name: each for name, each in operators.items() if name not in poor}
    for score, without in ((_total(operators), ""), (_total(rest), _without(poor))):
        reached = (score.detected + hope) / (score.valid + hope) if score.valid + hope else math.nan
        if not reached >= least:  # NaN is below, too
            cure = _cure(_total(poor)) if without else ""
            yield "min_score", least, score.value, f"{without}{_below(score, least)}{cure}"
            return


def _below(score: MutationScore, least: float) -> str:
    if not score.valid:
        return f"there is no mutation score, so none of {least:g}: no mutant ran that is not equivalent"
    detected = f"{score.detected} of {score.valid} mutants detected"
    return f"the mutation score is {score.value:.4g} ({detected}), below {least:g}"


def _without(poor: Operators) -> str:
    told = [f"{name} ({without_verdict(each)})" for name, each in itertools.islice(poor.items(), SHOWN)]
    more = [f"{len(poor) - SHOWN} more"] if len(poor) > SHOWN else []
    return f"without {', '.join([*told, *more])} " if poor else ""


def _cure(score: MutationScore) -> str:
    """Say what to do about the most frequent reason for which mutants have no verdict."""
    cause = next(iter(score.without_verdict), None)
    return f"; {CURES[cause]}" if cause in CURES else ""


def _total(operators: Operators) -> MutationScore:
    return MutationScore.total(each.counts for each in operators.values())
