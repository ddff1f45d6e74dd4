"""What executors observe, checked before it is stored: one observation of each mutant, and a sound one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn.api.executor import Observation
from mutatenn.border import broken, calling, named, shown
from mutatenn.errors import PluginError
from mutatenn.results.observations import misfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn.api.executor import Executor, Job


def observations(executor: Executor, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
    """Yield what an executor observes of mutants; raises PluginError for anything but one of each."""
    waiting, ran = set(mutants), set[str]()
    with calling(executor, "run"):
        stream = iter(executor.run(job, list(mutants)))
    try:
        while (seen := _next(executor, stream)) is not None:
            if not (isinstance(seen, Observation) and isinstance(seen.mutant, str)):
                raise broken(executor, "run", "observations of mutants", seen)
            if seen.mutant not in waiting:
                what = "observed twice" if seen.mutant in mutants else "not asked for"
                raise PluginError(f"{named(executor)}: mutant {shown(seen.mutant)} was {what}")
            if problem := _problem(seen, job, ran):
                raise PluginError(f"{named(executor)}: observation of {seen.mutant}: {problem}")
            waiting.remove(seen.mutant)
            ran |= {seen.mutant} if seen.outcome == "ran" else set()
            yield seen
    finally:
        with calling(executor, "run"):
            getattr(stream, "close", tuple)()  # it has processes to stop
    if waiting:
        raise PluginError(f"{named(executor)}: no observation of {len(waiting)} mutants, {min(waiting)} ...")


def _next(executor: Executor, stream: Iterator[Any]) -> Any:
    """Return the next observation, None after the last."""
    with calling(executor, "run"):
        for seen in stream:
            return seen if seen is not None else ()
    return None


def _problem(seen: Observation, job: Job, ran: set[str]) -> str:
    """Return what is wrong with an observation, "" for a sound one; ``ran`` can have duplicates."""
    problem = misfit(seen, *job.expected.shape)
    if not problem and seen.outcome == "duplicate" and seen.message not in ran:
        return f"{shown(seen.message)} has not run, so it cannot be a duplicate of that"
    return problem
