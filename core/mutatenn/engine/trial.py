"""One mutant's trial, as the parent follows it."""

from __future__ import annotations

import signal

import attrs

from mutatenn.api.executor import Job, Observation, Outcome
from mutatenn.engine import isolate, messages
from mutatenn.engine.messages import End, GarbledError, Phase, Problem
from mutatenn.printable import signal_name

BUILD = "build"
ORIGINAL = "original"
IMAGE = "image"
POLL_SECONDS = 0.1
PHASES_PER_IMAGE = 16
LAST_MOMENTS = 0.5  # seconds, at most, from the end of a dying process' pipe to its own
MEMORY_EXCEEDED = "exceeded the memory limit"
COMPILER_DIED = "the compiler died of"
MOST_MEMORY = 2**60  # bytes; sums of such stay representable
# The most that one look at the running mutants adds to the time they were watched: a machine that slept,
# a suspended campaign or a consumer that took long over an observation says nothing about a mutant.
LONGEST_WATCH = 5 * POLL_SECONDS
RUNTIME_SIGNALS = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
}


def image_limit(job: Job, seconds: float) -> float:
    """Return how many seconds a mutant may take for an image for which the original takes ``seconds``."""
    return max(job.limits.time_floor, job.limits.time_factor * seconds)


def memory_limit(job: Job) -> int:
    """Return how many bytes a mutant may take beyond what its parent has."""
    values = job.original.values
    share = job.limits.memory_factor * sum(spec.nbytes for spec in values)
    return min(job.limits.memory_floor, MOST_MEMORY) + int(min(share, MOST_MEMORY))


@attrs.define(eq=False)
class Trial:
    """A mutant's trial as the parent sees it; it ``began`` when the mutant ran on a first image.

    ``cpu`` is the processor time its process had used when its phase began, ``watched`` for how many seconds
    the parent has watched it in this phase, but for those in which it waited for a processor.
    ``wall_factor``: a process that uses no processor time is stuck all the same; time that passes is only
    trusted at a multiple of the limit, because it also counts what other programs on this machine take.
    ``blame`` is what the mutant gets if its process ends again as it did, in a way that nobody announced,
    ``garbled`` what was wrong with what it sent.
    """

    mutant: str
    child: isolate.Child
    job: Job
    phase: str = BUILD
    cpu: float = 0.0
    watched: float = 0.0
    wall_factor: float = 10.0
    began: bool = False
    result: Observation | None = None
    spent: bool = False
    blame: Outcome | None = None
    garbled: str = ""
    _queued: float = 0.0
    _phases: int = 0

    def enter(self, phase: str, cpu: float) -> None:
        """Note that a phase began; its limit counts from there."""
        self.phase, self.cpu, self.watched = phase, cpu, 0.0
        self.began |= phase.startswith(IMAGE)
        self._phases += 1
        if self._phases > PHASES_PER_IMAGE * (len(self.job.images) + 1):
            raise GarbledError("phases without end")

    @property
    def building(self) -> bool:
        """Whether no code of the mutant has run."""
        return self.phase == BUILD and not self.began

    def listen(self) -> bool:
        """Take all messages that have come; return whether the trial is over."""
        try:
            for message in self.child.inbox.take(messages.largest(self.job)):
                self.take(messages.parse(message, self.mutant, self.job))
        except GarbledError as error:
            self.garbled = f"sent {error}"
        return self.result is not None or bool(self.garbled) or self.ended()

    def take(self, message: messages.Message) -> None:
        """Take one message; raises GarbledError for what has no place here."""
        if self.result is None and isinstance(message, Phase):
            self.enter(message.phase, message.cpu)
        elif self.result is None and isinstance(message, End):
            self.result, self.spent = message.seen, message.spent
            self.blame = "crashed" if message.damaged else None
        elif self.result is None and isinstance(message, Problem) and self.building:
            self.result = Observation(self.mutant, "infrastructure-error", message.problem)
        else:
            raise GarbledError("a message out of turn")

    def ended(self) -> bool:
        """Tell whether the process is dead, even if others still hold its pipe, or has closed that."""
        if self.child.inbox.ended and not self.child.dead(LAST_MOMENTS):
            self.garbled = "closed its pipe"
        return bool(self.garbled) or self.child.dead()

    def watch(self, passed: float) -> None:
        """Count time that has passed, and in which the process could have run."""
        queued = self.child.queued_seconds()
        self.watched += max(0.0, min(passed, LONGEST_WATCH) - (queued - self._queued))
        self._queued = queued

    def overtime(self, limit: float) -> str:
        """Return how the phase has used up its limit, in seconds of processor time, or ""."""
        if self.child.cpu_seconds() - self.cpu > limit:
            return f"exceeded {limit:g} s of processor time"
        if self.watched > limit * self.wall_factor:
            return f"took {limit * self.wall_factor:g} s, and used less than {limit:g} s of processor time"
        return ""

    def exceed(self, how: str, outcome: Outcome) -> None:
        """Note that the trial is over because the mutant exceeded something, if it did."""
        if how:
            self.result = Observation(self.mutant, "build-error" if self.phase == BUILD else outcome, how)

    def end(self) -> Observation:
        """End the process and return what became of the mutant.

        An end that says nothing of it yet is an infrastructure error; see ``blame``.
        """
        self.child.kill()  # a process that is dead already keeps its status
        code, number = self.child.reap()
        if self.result is not None:
            return self._excuse(self.result)
        if number in RUNTIME_SIGNALS:
            name = signal_name(number)
            if self.building:
                return self._excuse(Observation(self.mutant, "build-error", f"{COMPILER_DIED} {name}"))
            return Observation(self.mutant, "crashed", name, signal=number)
        if number != signal.SIGKILL or self.garbled:  # a machine without memory left kills, too
            self.blame = "build-error" if self.building else "crashed"
        known = number if self.blame == "crashed" and not self.garbled else 0
        how = self.garbled or (f"was killed by signal {number}" if number else f"ended with exit code {code}")
        message = f"its process {how} ({self.phase} phase)"
        return Observation(self.mutant, "infrastructure-error", message, signal=known or None)

    def _excuse(self, seen: Observation) -> Observation:
        """Return what was seen, or an infrastructure error where the system gave it too little memory."""
        want = seen.message == MEMORY_EXCEEDED or seen.message.startswith(COMPILER_DIED)
        if not (want and self.child.scarce):
            return seen
        message = f"{seen.message}, and the system's (ulimit -v) is below the campaign's; raise it"
        return Observation(seen.mutant, "infrastructure-error", message)


def settle(seen: Observation, blame: Outcome | None) -> Observation:
    """Return what counts of an end that showed again in a fresh process; ``blame`` is the trials'."""
    if blame is None:
        return seen
    return attrs.evolve(seen, outcome=blame, message=f"{seen.message}, and again in a fresh process")


@attrs.frozen(eq=False)
class Doubt:
    """An end that must show again, in a fresh process, to count, and what the mutant gets if it does.

    ``harmed``: it came of the mutant's code, by a signal or as an error of Python.
    """

    seen: Observation
    blame: Outcome | None
    harmed: bool

    @classmethod
    def of(cls, seen: Observation, trial: Trial) -> Doubt | None:
        """Return the doubt about an end, None where there is none."""
        announced = trial.result is not None
        harmed = seen.outcome == "crashed" and seen.signal is not None
        harmed |= announced and trial.blame is not None
        lost = not announced and seen.outcome == "infrastructure-error"
        return cls(seen, trial.blame, harmed) if harmed or lost else None


def settle_twice(first: Doubt, second: Observation, blame: Outcome | None) -> Observation:
    """Return what counts of an end in doubt and of that in a fresh process; ``blame`` is the latter's."""
    if second.outcome == "infrastructure-error":
        return settle(second, blame if first.blame else None)
    if not first.harmed or second.outcome == "crashed":
        return second
    told = f"{first.seen.message or first.seen.outcome} in one process, {second.outcome} in another"
    return Observation(second.mutant, "unstable", told)
