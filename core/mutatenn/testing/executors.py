"""Checks what an executor promises, on a made-up job."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.engine.isolate import children
from mutatenn.engine.workbench import Workbench
from mutatenn.errors import InfrastructureError
from mutatenn.host.installed import installed_backend
from mutatenn.testing.jobs import DUPLICATES, NAMES, made_job
from mutatenn.testing.promises import check_class, keeping, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn.api.executor import Executor, Job, Observation

MEASURED = {"ran", "equivalent"}
"""Outcomes of which all that is seen is the same every time; of others it is the outcome and the signal."""


def check_executor(cls: type[Executor], **options: Any) -> None:
    """Check an executor with some options on a made-up job, on this processor.

    Each mutant gets one observation, the same as on a :class:`mutatenn.Workbench`, whether it runs, crashes,
    hangs, is rejected by the compiler or unknown, and however many are tried at a time; of two that have the
    same program, one may be a duplicate. The original is checked. No process is left, even of a run that is
    closed early.
    """
    check_class("executor", cls)
    job, expected = _expected()
    check = _Check(cls, options, children())
    for workers in (1, 3):
        with keeping(f"{cls.name}, {workers} at a time"):
            check.same(attrs.evolve(job, workers=workers), expected)
    with keeping(f"{cls.name}, closed early"):
        check.closed_early(job)
    with keeping(f"{cls.name}, of no mutants, observes none"):
        require(list(check.run(job, ())) == [], "there are observations")
    with keeping(f"{cls.name} raises InfrastructureError if the original does not repeat its outputs"):
        check.refuses(attrs.evolve(job, expected=job.expected + 1))


@functools.cache
def _expected() -> tuple[Job, dict[str, Observation]]:
    """Return the job, and what is seen of its mutants on a workbench."""
    job = made_job(installed_backend("llvm"))
    with Workbench.open(job) as bench:
        return job, {seen.mutant: seen for seen in bench.attempts(NAMES)}


@attrs.frozen
class _Check:
    cls: type[Executor]
    options: dict[str, Any]
    before: set[int]
    """The processes that were there before."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        return self.cls(**self.options).run(job, mutants)

    def same(self, job: Job, expected: dict[str, Observation]) -> None:
        found = list(self.run(job, NAMES))
        names = [seen.mutant for seen in found]
        require(
            sorted(names) == sorted(NAMES), f"every mutant has one observation; there are those of {names}"
        )
        seen = {each.mutant: each for each in found}
        for name in sorted(set(NAMES) - set(DUPLICATES)):
            _require_same(seen[name], expected[name])
        _check_duplicates([seen[name] for name in DUPLICATES], expected)
        self._nothing_left()

    def closed_early(self, job: Job) -> None:
        running = self.run(job, NAMES)
        next(running)
        if close := getattr(running, "close", None):
            close()
        del running
        self._nothing_left()

    def refuses(self, job: Job) -> None:
        try:
            found = list(self.run(job, DUPLICATES))
        except InfrastructureError:
            return
        require(False, f"it observes {[seen.outcome for seen in found]}")

    def _nothing_left(self) -> None:
        left = children() - self.before
        require(not left, f"no process is left; there are {sorted(left)}")


def _check_duplicates(seen: list[Observation], expected: dict[str, Observation]) -> None:
    ran = next(expected[name] for name in DUPLICATES if expected[name].outcome == "ran")
    others = {each.mutant: [other.mutant for other in seen if other is not each] for each in seen}
    require(any(each.outcome == "ran" for each in seen), f"one of {', '.join(DUPLICATES)} runs")
    for each in seen:
        if each.outcome == "duplicate":
            require([each.message] == others[each.mutant], f"{each.mutant} names what it is a duplicate of")
        else:
            _require_same(each, attrs.evolve(ran, mutant=each.mutant))


def _require_same(seen: Observation, expected: Observation) -> None:
    one, other = _facts(seen), _facts(expected)
    differing = [name for name in one if one[name] != other[name]]
    shown = {name: (getattr(seen, name), getattr(expected, name)) for name in differing}
    require(not differing, f"the observation of {seen.mutant} is that of a workbench; {shown}")


def _facts(seen: Observation) -> dict[str, Any]:
    """Return all that is the same every time."""
    if seen.outcome not in MEASURED:
        return {"outcome": seen.outcome, "signal": seen.signal}
    fields = attrs.asdict(seen, filter=lambda field, _: field.name != "seconds")
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    return (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
