"""Runs each mutant in a process forked from a parent that holds the original's values."""

from __future__ import annotations

import functools
import gc
import selectors
import time
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.executor import Executor, Job, Observation
from mutatenn.engine import isolate
from mutatenn.engine.trial import (
    BUILD,
    LONGEST_WATCH,
    POLL_SECONDS,
    Report,
    Trial,
    Warm,
    attempt,
    image_limit,
    memory_limit,
)
from mutatenn.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection


@attrs.define(eq=False)
class Crew:
    """The trials under way, each in its own process, and one that stands by to take the next free place."""

    warm: Warm
    waiting: list[str]
    ran: dict[str, str] = attrs.field(init=False, factory=dict)
    """The mutants that have run, by the identity of their programs; each process inherits it."""
    running: dict[int, Trial] = attrs.field(init=False, factory=dict)
    _standby: Trial | None = attrs.field(init=False, default=None)
    _selector: selectors.BaseSelector = attrs.field(init=False, factory=selectors.DefaultSelector)
    _looked: float = attrs.field(init=False, factory=time.monotonic)

    def fill(self) -> None:
        """Start trials where there is place for them, and fork a process ahead for the next."""
        while len(self.running) < self.warm.job.workers and (self._standby or self.waiting):
            trial = self._standby or self._fork(self.waiting.pop())
            self._standby = None
            trial.child.go()
            self.running[trial.child.pid] = trial
            self._selector.register(trial.child.pipe, selectors.EVENT_READ, trial)
        if self._standby is None and self.waiting:
            self._standby = self._fork(self.waiting.pop())

    def _fork(self, mutant: str) -> Trial:
        work = functools.partial(_work, self.warm, mutant, self.ran)
        return Trial(mutant, isolate.fork(work, memory_limit(self.warm.job)))

    def follow(self) -> list[Observation]:
        """Follow the trials for a moment; return what was seen of those that ended."""
        ended = [key.data for key, _ in self._selector.select(POLL_SECONDS) if _listen(key.data)]
        seen = [self._dismiss(trial) for trial in ended]
        self._watch()
        return seen

    def _watch(self) -> None:
        """Stop the trials that have used up their limit, if it is time to look again."""
        passed = time.monotonic() - self._looked
        if passed < POLL_SECONDS:
            return
        self._looked += passed
        job = self.warm.job
        for trial in self.running.values():
            trial.watched += min(passed, LONGEST_WATCH)
            building = trial.phase == BUILD
            limit = job.limits.build_seconds if building else image_limit(job, self.warm.seconds)
            if trial.result is None and (how := trial.overtime(limit)):
                trial.child.kill()
                trial.result = Observation(trial.mutant, "build-error" if building else "timed-out", how)

    def _dismiss(self, trial: Trial) -> Observation:
        del self.running[trial.child.pid]
        self._selector.unregister(trial.child.pipe)
        seen = trial.end()
        if seen.outcome == "ran":
            self.ran.setdefault(seen.program, seen.mutant)
        return seen

    def disband(self) -> None:
        """Kill the trials that are still running."""
        for trial in list(self.running.values()):
            self._dismiss(trial)
        if self._standby:
            self._standby.end()
        self._selector.close()


class Fork(Executor):
    """Forks one process per mutant from a parent that has run the original."""

    name = "fork"

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        """Yield an observation per mutant as each ends, at most ``job.workers`` at a time."""
        crew = Crew(warm_up(job), list(reversed(mutants)))
        try:
            crew.fill()
            while crew.running:
                seen = crew.follow()
                crew.fill()  # first: the consumer may take its time over what was seen
                yield from seen
        finally:
            crew.disband()


def warm_up(job: Job) -> Warm:
    """Run the original on every image, in this process."""
    warm = Warm.up(job)
    start = time.process_time()
    for index in range(len(job.images)):
        warm.known(index)
    warm.seconds = (time.process_time() - start) / max(1, len(job.images))
    gc.freeze()  # or collections in the forked processes touch, and so copy, all of these objects
    return warm


def _listen(trial: Trial) -> bool:
    """Take all messages that have come; return whether the process has ended."""
    try:
        while trial.child.pipe.poll():
            message = isolate.receive(trial.child.pipe)
            if "phase" in message:
                trial.enter(message["phase"], message["cpu"])
            else:
                trial.result = trial.unpack(message)
    except (EOFError, OSError, ValueError):  # the end, possibly in the middle of a message
        return True
    return False


def _work(warm: Warm, mutant: str, ran: Mapping[str, str], pipe: Connection) -> None:
    report = Report(warm, mutant, pipe)
    report.send(*attempt(report, ran))


@hookimpl
def mutatenn_executors() -> list[type[Executor]]:
    """Contribute the executor."""
    return [Fork]
