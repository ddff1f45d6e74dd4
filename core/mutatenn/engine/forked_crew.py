"""Tries each mutant in a process forked from this one, which holds the original's values."""

from __future__ import annotations

import functools
import gc
import selectors
import time
from collections import deque
from typing import TYPE_CHECKING

import attrs

from mutatenn.engine import isolate, orphans
from mutatenn.engine.attempt import Report, attempt
from mutatenn.engine.trial import (
    BUILD,
    POLL_SECONDS,
    Doubt,
    Trial,
    image_limit,
    memory_limit,
    settle_twice,
)
from mutatenn.engine.warm import PreparedOriginal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from multiprocessing.connection import Connection

    from mutatenn.api.executor import Job, Observation


@attrs.define(eq=False)
class ForkedCrew:
    """The trials under way, each in its own process, and one that stands by to take the next free place."""

    warm: PreparedOriginal
    _waiting: deque[str] = attrs.field(init=False, factory=deque)
    ran: dict[str, str] = attrs.field(init=False, factory=dict)
    """The mutants that have run, by the identity of their programs; each process inherits it."""
    running: dict[int, Trial] = attrs.field(init=False, factory=dict)
    _standby: Trial | None = attrs.field(init=False, default=None)
    _doubted: dict[str, Doubt] = attrs.field(init=False, factory=dict)
    """Mutants whose end must show again."""
    _herd: orphans.Herd = attrs.field(init=False, factory=orphans.Herd)
    _selector: selectors.BaseSelector = attrs.field(init=False, factory=selectors.DefaultSelector)
    _looked: float = attrs.field(init=False, factory=time.monotonic)

    @classmethod
    def of(cls, job: Job) -> ForkedCrew:
        """Open the device here, and run the original on every image."""
        return cls(warm_up(job))

    def enlist(self, mutants: Iterable[str]) -> None:
        """Have mutants tried when there is place."""
        self._waiting.extend(mutants)

    @property
    def busy(self) -> bool:
        """Whether a mutant waits or is being tried."""
        return bool(self.running or self._waiting or self._standby)

    def fill(self) -> None:
        """Start trials where there is place for them, and fork a process ahead for the next.

        Raises OSError where the system gives no process at all.
        """
        while len(self.running) < self.warm.job.workers:
            trial = self._standby or self._fork()
            self._standby = None
            if trial is None:
                return
            trial.child.go()
            self.running[trial.child.pid] = trial
            self._selector.register(trial.child.pipe, selectors.EVENT_READ, trial)
        self._standby = self._standby or self._fork()

    def _fork(self) -> Trial | None:
        """Return the trial of the next mutant; None if there is none, or no process for it now."""
        if not self._waiting:
            return None
        job = self.warm.job
        work = functools.partial(_work, self.warm, self._waiting[0], self.ran)
        try:
            child = isolate.fork(work, memory_limit(job), self._herd.mark())
        except OSError:
            if not self.running:
                raise
            return None
        return Trial(self._waiting.popleft(), child, job)

    def follow(self) -> list[Observation]:
        """Follow the trials for a moment; return what was seen of those that ended."""
        ended = [key.data for key, _ in self._selector.select(POLL_SECONDS) if key.data.listen()]
        seen = [each for trial in ended for each in self._settle(trial, self._dismiss(trial))]
        return seen + [each for trial in self._watch() for each in self._settle(trial, self._dismiss(trial))]

    def _watch(self) -> list[Trial]:
        """Return the trials that are over without a word, or have used up their limit, now and then."""
        passed = time.monotonic() - self._looked
        if passed < POLL_SECONDS:
            return []
        self._looked += passed
        standby = [self._standby] if self._standby else []
        crowds = self._herd.look({trial.child.mark for trial in [*self.running.values(), *standby]})
        return [trial for trial in self.running.values() if self._is_over(trial, passed, crowds)]

    def _is_over(self, trial: Trial, passed: float, crowds: Collection[int]) -> bool:
        trial.watch(passed)
        job, building = self.warm.job, trial.phase == BUILD
        if trial.listen():
            return True
        if trial.child.mark in crowds:
            trial.exceed(f"started more than {orphans.MOST} processes", "crashed")
        else:
            limit = job.limits.build_seconds if building else image_limit(job, self.warm.seconds)
            trial.exceed(trial.overtime(limit), "timed-out")
        return trial.result is not None

    def _settle(self, trial: Trial, seen: Observation) -> list[Observation]:
        """Return what was seen, or have the mutant tried again if that says nothing of it yet."""
        mutant = trial.mutant
        if mutant in self._doubted:
            seen = settle_twice(self._doubted[mutant], seen, trial.blame)
        elif doubt := Doubt.of(seen, trial):
            self._doubted[mutant] = doubt
            self._waiting.appendleft(mutant)
            return []
        if seen.outcome == "ran":
            self.ran.setdefault(seen.program, seen.mutant)
        return [seen]

    def _dismiss(self, trial: Trial) -> Observation:
        del self.running[trial.child.pid]
        self._selector.unregister(trial.child.pipe)
        return trial.end()

    def disband(self) -> None:
        """Kill the trials that are still running, and what they all left behind."""
        for trial in list(self.running.values()):
            self._dismiss(trial)
        if self._standby:
            self._standby.end()
        self._selector.close()
        self._herd.end()


def warm_up(job: Job) -> PreparedOriginal:
    """Run the original on every image, in this process."""
    warm = PreparedOriginal.up(job)
    start = time.process_time()
    for index in range(len(job.images)):
        warm.known(index)
    warm.seconds = (time.process_time() - start) / max(1, len(job.images))
    gc.freeze()  # or collections in the forked processes touch, and so copy, all of these objects
    return warm


def _work(warm: PreparedOriginal, mutant: str, ran: Mapping[str, str], pipe: Connection) -> None:
    report = Report(warm, mutant, pipe)
    report.send(*attempt(report, ran))
