"""What became of mutants, in clauses, and as tests that the images pass or fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from mutatenn import Status, signal_name
from mutatenn_reporters._text import count, number, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn import Record, Run, Verdict

Result: TypeAlias = Literal["detected", "survived", "error", "none"]


def clause(verdict: Verdict) -> str:
    """Say how a mutant ended: ``infected 9 of 10 images, changed the output on 4 by up to 0.01``."""
    if verdict.status == Status.KILLED:
        images = f"on {verdict.killed} of {count(verdict.images, 'image')}"
        return f"noticed {images}" if verdict.killed else f"noticed by {', '.join(verdict.by)}"
    if verdict.status == Status.SURVIVED:
        return _survival(verdict)
    if verdict.status == Status.NEVER_INFECTED:
        return f"no value changed on any of {count(verdict.images, 'image')}"
    return cause(verdict)


def _survival(verdict: Verdict) -> str:
    parts = [f"infected {verdict.infected} of {count(verdict.images, 'image')}"]
    worst = verdict.oracles.get("max-abs", {}).get("worst")
    by = f" by up to {number(worst)}" if worst else ""
    parts.append(
        f"changed the output on {verdict.propagated}{by}" if verdict.propagated else "changed no output"
    )
    parts += [f"changed {count(verdict.labels_changed, 'label')}"] if verdict.labels_changed else []
    return ", ".join(parts)


def cause(verdict: Verdict) -> str:
    """Return the message of a mutant that did not run to its end."""
    if verdict.message or verdict.signal is None:
        return shorten(verdict.message or "no message")
    return signal_name(verdict.signal)


@attrs.frozen
class Ending:
    """A mutant in an environment, as a test.

    ``result`` is ``detected`` where the images, or anything else, noticed it; ``survived`` where they should
    have; ``error`` where the machinery failed; and ``none`` where there is nothing to tell: it is equivalent,
    accepted, the same program as another, never infected, not run. ``why`` is a clause.
    """

    environment: str
    record: Record
    verdict: Verdict | None
    result: Result
    why: str

    @property
    def status(self) -> str:
        """How it ended, in words."""
        return self.verdict.status.replace("-", " ") if self.verdict else "not run"


def endings(run: Run, environment: str) -> Iterator[Ending]:
    """Yield every mutant of an environment, in the plan's order."""
    planned, same = set(run.mutants_of(environment)), run.duplicates(environment)
    for record in run.records():
        if record.id in planned:
            verdict = record.verdicts.get(environment)
            result, why = _result(record, verdict, same.get(record.id))
            yield Ending(environment, record, verdict, result, why)


def _result(record: Record, verdict: Verdict | None, same: str | None) -> tuple[Result, str]:
    if verdict is None:
        return "none", record.skipped or "not run"
    if verdict.status.detected:
        return "detected", clause(verdict)
    if verdict.status == Status.INFRASTRUCTURE_ERROR:
        return "error", clause(verdict)
    if verdict.status != Status.SURVIVED:
        return "none", clause(verdict)
    if record.accepted:
        return "none", f"accepted: {record.accepted}"
    return ("none", f"the same program as {same}") if same else ("survived", clause(verdict))
