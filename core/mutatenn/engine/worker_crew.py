"""Tries mutants one after another in processes that keep a device open, for devices that no fork shares.

The parent never opens a device. A process is replaced after any fault, and after damage to what it keeps.
A fault counts only if it shows in a fresh process, where no other mutant has run.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import selectors
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.executor import Job, Observation
from mutatenn.engine import isolate, messages, orphans
from mutatenn.engine.attempt import Report, attempt
from mutatenn.engine.messages import GarbledError, Problem, Ready
from mutatenn.engine.trial import (
    BUILD,
    ORIGINAL,
    POLL_SECONDS,
    Trial,
    image_limit,
    settle,
)
from mutatenn.engine.warm import PreparedOriginal
from mutatenn.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from multiprocessing.connection import Connection

    from mutatenn.api.executor import Outcome

OPENING = "open"
OPEN_SECONDS = 600.0
CLOSE_SECONDS = 10.0
MOST_LOSSES = 3
MOST_FAILURES = 3
# A kernel that is stuck on another processor uses no time of this one, so time that passes must do.
WALL_FACTOR = 5.0
SOUND: set[Outcome] = {"ran", "equivalent", "duplicate", "build-error"}


@attrs.define(eq=False)
class Post:
    """A worker process and the trial it is at: first the opening of its device, None when idle.

    It is ``fresh`` until its first mutant is done, and ``spent`` when it can do no more. ``seconds`` is what
    the original takes for an image there, ``problem`` what it says of a device it has lost, or cannot open.
    """

    child: isolate.Child
    orders: Connection
    job: Job
    trial: Trial | None
    fresh: bool = True
    spent: bool = False
    seconds: float = 0.0
    problem: str = ""
    _told: int = 0

    def give(self, mutant: str, ran: dict[str, str], *, complete: bool) -> None:
        """Have it try a mutant; if ``complete``, after the original has run on all images."""
        self.trial = Trial(mutant, self.child, self.job, wall_factor=WALL_FACTOR)
        news = dict(list(ran.items())[self._told :])
        self._told = len(ran)
        self._order(mutant=mutant, ran=news, complete=complete)

    def _order(self, **order: Any) -> None:
        with contextlib.suppress(OSError):  # it is dead, which will show
            isolate.send(self.orders, **order)

    def listen(self) -> bool:
        """Take all messages that have come; return whether it has changed its state, or is dead."""
        trial = self.trial or Trial("", self.child, self.job)
        try:
            for message in self.child.inbox.take(messages.largest(self.job)):
                self._take(trial, messages.parse(message, trial.mutant, self.job))
        except GarbledError as error:
            trial.garbled = f"sent {error}"
        self.spent |= trial.spent or bool(trial.garbled) or (trial.result is None and trial.ended())
        return self.spent or trial.result is not None

    def _take(self, trial: Trial, message: messages.Message) -> None:
        if isinstance(message, Problem):
            self.problem, self.spent = message.problem, True
        elif trial.mutant:
            trial.take(message)
        elif isinstance(message, Ready) and self.trial:
            self.seconds, self.trial = message.ready, None
        else:
            raise GarbledError("a message out of turn")

    def close(self) -> None:
        """End it; one that is idle may give back its device in order."""
        if self.trial is None and not self.spent:
            self._order()
            self.child.dead(CLOSE_SECONDS)
        self.child.kill()
        self.child.reap()
        self.orders.close()


@attrs.define(eq=False)
class WorkerCrew:
    """The worker processes and the mutants that wait for them."""

    job: Job
    _waiting: deque[str] = attrs.field(init=False, factory=deque)
    ran: dict[str, str] = attrs.field(init=False, factory=dict)
    """The mutants that have run, by the identity of their programs."""
    posts: list[Post] = attrs.field(init=False, factory=list)
    _again: deque[str] = attrs.field(init=False, factory=deque)
    """Mutants that want a fresh process."""
    _complete: set[str] = attrs.field(init=False, factory=set)
    """Mutants that want the original to run on all images before them."""
    _losses: dict[str, list[Outcome | None]] = attrs.field(init=False, factory=dict)
    """What mutants get that lost their process so often, each time in such a way; None: nothing."""
    _herd: orphans.Herd = attrs.field(init=False, factory=orphans.Herd)
    _failures: int = attrs.field(init=False, default=0)
    _places: int = attrs.field(init=False)
    _looked: float = attrs.field(init=False, factory=time.monotonic)

    def __attrs_post_init__(self) -> None:
        places = self.job.backend.places
        self._places = self.job.workers if places is None else min(self.job.workers, places)

    def enlist(self, mutants: Iterable[str]) -> None:
        """Have mutants tried when there is place."""
        self._waiting.extend(mutants)

    @property
    def busy(self) -> bool:
        """Whether a mutant waits or is being tried."""
        return bool(
            self._waiting or self._again or any(post.trial and post.trial.mutant for post in self.posts)
        )

    def fill(self) -> None:
        """Give mutants to those who are idle, and open devices while there is more to do."""
        for post in [post for post in self.posts if post.trial is None]:
            queue = self._again if post.fresh and self._again else self._waiting
            if queue:
                mutant = queue.popleft()
                post.give(mutant, self.ran, complete=mutant in self._complete)
            elif self._again:
                self._end(post)  # what is left wants fresh ones
        opening = sum(post.trial is not None and not post.trial.mutant for post in self.posts)
        wanted = len(self._waiting) + len(self._again) - opening
        for _ in range(min(wanted, self._places - len(self.posts))):
            self.posts.append(self._hire())

    def follow(self) -> list[Observation]:
        """Follow the workers for a moment; return what was seen of mutants that are done."""
        with selectors.DefaultSelector() as selector:
            for post in self.posts:
                selector.register(post.child.pipe, selectors.EVENT_READ, post)
            heard = [key.data for key, _ in selector.select(POLL_SECONDS)]
        seen = [each for post in heard for each in self._hear(post)]
        return seen + self._watch()

    def disband(self) -> None:
        """End all workers, and what they left behind."""
        for post in list(self.posts):
            self._end(post)
        self._herd.end()

    def _hire(self) -> Post:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        # No limit of address space: drivers reserve far more of it than they use.
        work = functools.partial(_serve, self.job, receiver)
        child = isolate.fork(work, None, self._herd.mark(), keep=[receiver])
        child.go()
        receiver.close()
        trial = Trial("", child, self.job, phase=OPENING, wall_factor=WALL_FACTOR)
        return Post(child, sender, self.job, trial)

    def _end(self, post: Post) -> None:
        self.posts.remove(post)
        post.close()

    def _hear(self, post: Post) -> list[Observation]:
        if not post.spent:
            post.listen()
        trial, fresh = post.trial, post.fresh
        if trial is None or not (trial.result or post.spent):
            if trial is None and post.spent:
                self._end(post)
            return []
        seen, post.trial, post.fresh = trial.result, None, False
        if seen is None:  # it died, or gave up
            self.posts.remove(post)
            post.orders.close()
            seen = trial.end()
        elif post.spent:
            self._end(post)
        return self._settle(trial, seen, post.problem, fresh=fresh)

    def _settle(self, trial: Trial, seen: Observation, problem: str, *, fresh: bool) -> list[Observation]:
        """Return what was seen, if it says something of the mutant, or have the mutant tried again."""
        if seen.outcome in SOUND:
            self._failures = 0
            if seen.outcome == "ran":
                self.ran.setdefault(seen.program, seen.mutant)
            return [seen]
        if trial.phase.startswith((OPENING, ORIGINAL)):
            return self._blame_device(trial, problem or seen.message, fresh=fresh)
        if not fresh:
            self._again.append(trial.mutant)
            return []
        if not problem and seen.outcome != "infrastructure-error":
            return [seen]
        return self._lose(trial, seen, problem)

    def _blame_device(self, trial: Trial, how: str, *, fresh: bool) -> list[Observation]:
        """Try a mutant again during which the original failed; without its doing, the device is unfit."""
        if trial.mutant:
            self._again.append(trial.mutant)
        if trial.began:
            self._complete.add(trial.mutant)
        elif fresh:
            self._failures += 1
            if self.posts:
                self._places = len(self.posts)  # do with those that are open
            elif self._failures >= MOST_FAILURES:
                raise InfrastructureError(
                    f"no device runs the original: {how}; mend that and run again to continue"
                )
        return []

    def _lose(self, trial: Trial, seen: Observation, problem: str) -> list[Observation]:
        """Try a mutant again that lost its device, or its process, up to a number of times."""
        losses = self._losses.setdefault(seen.mutant, [])
        losses.append(trial.blame)
        if len(losses) < MOST_LOSSES:
            self._again.append(seen.mutant)
            return []
        if not problem:
            return [settle(seen, trial.blame if all(losses) else None)]
        message = (
            f"lost its device {MOST_LOSSES} times, each time after the original had run well ({problem})"
        )
        return [Observation(seen.mutant, "crashed", message)]

    def _watch(self) -> list[Observation]:
        """Stop what has used up its limit, or is dead without a word, if it is time to look again."""
        passed = time.monotonic() - self._looked
        if passed < POLL_SECONDS:
            return []
        self._looked += passed
        crowds = self._herd.look({post.child.mark for post in self.posts})
        return [seen for post in list(self.posts) for seen in self._look_after(post, passed, crowds)]

    def _look_after(self, post: Post, passed: float, crowds: Collection[int]) -> list[Observation]:
        trial = post.trial
        if post.listen() or trial is None:
            return self._hear(post)
        trial.watch(passed)
        limits = {BUILD: self.job.limits.build_seconds, OPENING: OPEN_SECONDS}
        limit = limits.get(trial.phase, image_limit(self.job, post.seconds))
        trial.exceed(trial.overtime(limit), "timed-out")
        if post.child.mark in crowds:
            trial.exceed(f"started more than {orphans.MOST} processes", "crashed")
        post.spent |= trial.result is not None
        return self._hear(post) if post.spent else []


# What follows runs in the worker process.


def _serve(job: Job, orders: Connection, pipe: Connection) -> None:
    try:
        warm = PreparedOriginal.up(job, sealed=True)
        if len(job.images):
            warm.known(0)
        isolate.send(pipe, ready=warm.seconds)
        _work(warm, orders, pipe)
        warm.evaluator.device.close()
    except Exception as error:  # of the device, or its driver
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        isolate.send(pipe, problem=messages.clean(problem))


def _work(warm: PreparedOriginal, orders: Connection, pipe: Connection) -> None:
    """Try mutants as ordered; raises what ends the usefulness of this process."""
    ran: dict[str, str] = {}
    while order := isolate.receive(orders):
        ran |= order["ran"]
        report, children = Report(warm, order["mutant"], pipe), isolate.children()
        for index in range(len(warm.job.images)) if order["complete"] else ():
            report.enter(f"{ORIGINAL} {index}")
            warm.known(index)
        report.enter(BUILD)
        outcome, message = attempt(report, ran)
        if outcome == "ran":
            ran.setdefault(report.program, report.mutant)
        warm.evaluator.linker.forget(but=warm.original)
        sound = outcome in SOUND and warm.intact() and isolate.children() <= children
        report.send(outcome, message, spent=not sound)
