"""What executors observe, checked before it is stored: one observation of each mutant, and a sound one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from mutatenn.api.executor import Observation, Outcome
from mutatenn.border import broken, calling, named, shown
from mutatenn.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn.api.executor import Executor, Job

OUTCOMES = get_args(Outcome)


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
            if problem := misfit(seen, len(job.images), job.expected.shape[1], ran):
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


def misfit(seen: Observation, images: int, classes: int, ran: set[str]) -> str:
    """Return what is wrong with an observation on so many images, "" for a sound one.

    ``ran`` are the mutants of which it can be a duplicate.
    """
    if not isinstance(seen.outcome, str) or seen.outcome not in OUTCOMES:
        return f"there is no outcome {shown(seen.outcome)}"
    if seen.outcome == "duplicate" and seen.message not in ran:
        return f"{shown(seen.message)} has not run, so it cannot be a duplicate of that"
    for name, sound in _plain_fields(seen).items():
        if not sound:
            return f"{name} cannot be {shown(getattr(seen, name))}"
    count = images if seen.outcome == "ran" else len(seen.infected)
    return "" if _sound_arrays(seen, count, classes) else "its arrays do not fit the images and classes"


def _plain_fields(seen: Observation) -> dict[str, bool]:
    return {
        "message": isinstance(seen.message, str),
        "signal": seen.signal is None or type(seen.signal) is int,
        "executed": type(seen.executed) is int and seen.executed >= 0,
        "kernels": isinstance(seen.kernels, tuple) and all(isinstance(each, str) for each in seen.kernels),
        "program": isinstance(seen.program, str),
        "masked": isinstance(seen.masked, dict)
        and all(isinstance(name, str) and type(count) is int for name, count in seen.masked.items()),
        "seconds": isinstance(seen.seconds, dict)
        and all(isinstance(name, str) and _is_number(value) for name, value in seen.seconds.items()),
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _sound_arrays(seen: Observation, images: int, classes: int) -> bool:
    arrays = (seen.infected, seen.rows, seen.outputs)
    if not all(isinstance(each, np.ndarray) for each in arrays):
        return False
    if [each.dtype.kind for each in arrays] != ["b", "i", "f"] or seen.rows.ndim != 1:
        return False
    rows = seen.rows.tolist()
    inside = all(0 <= row < images for row in rows) and len(set(rows)) == len(rows)
    fits = seen.outputs.shape == (len(rows), classes) or not rows
    return inside and fits and seen.infected.shape == (images,)
