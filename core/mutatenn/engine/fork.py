"""Runs each mutant in a process forked from a parent that holds the original's values."""

from __future__ import annotations

import functools
import gc
import selectors
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.executor import Executor, Job, Observation, Outcome
from mutatenn.compiler.kernels import last_line
from mutatenn.engine import isolate
from mutatenn.engine.evaluate import Evaluation, Evaluator, KernelError, Known, OutOfBoundsError
from mutatenn.engine.keep import choose_kept
from mutatenn.errors import BuildError, InfrastructureError
from mutatenn.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection

    from mutatenn.api.program import Program
    from mutatenn.engine.link import Linked

BUILD = "build"
UNCHANGED = "the mutation left the IR structurally equal to the original's"
SAME_CODE = "lowered, the changed IR is the original's very code"
POLL_SECONDS = 0.1
# A mutant that uses no processor time is stuck all the same; time that passes is only trusted at a multiple
# of the limit, because it also counts what other programs on this machine take.
WALL_FACTOR = 10
# The most that one look at the running mutants adds to that time: a machine that slept, a suspended campaign
# or a consumer that took long over an observation says nothing about a mutant.
LONGEST_WATCH = 5 * POLL_SECONDS
RUNTIME_SIGNALS = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
}


@attrs.define(eq=False)
class Parent:
    """The warm process: evaluator, original, what is known of it per image, seconds per image."""

    job: Job
    evaluator: Evaluator
    original: Linked
    known: list[Known]
    seconds: float

    @classmethod
    def warm(cls, job: Job) -> Parent:
        """Build the original, run it on every image and keep as many values as there is room for."""
        evaluator = Evaluator(job.backend.open())
        original = evaluator.link(job.original)
        kept = _choose_kept(job, evaluator, original)
        start = time.process_time()
        known = [evaluator.original(original, image, kept) for image in job.images]
        seconds = (time.process_time() - start) / max(1, len(job.images))
        _check_repeats(job, [evaluator.device.fetch(each.output) for each in known])
        gc.freeze()  # or collections in the forked processes touch, and so copy, all of these objects
        return cls(job, evaluator, original, known, seconds)

    @property
    def classes(self) -> int:
        """The number of scores an image gets."""
        original = self.job.original
        return (
            original.values[original.output].nbytes
            // np.dtype(original.values[original.output].dtype).itemsize
        )

    @property
    def image_limit(self) -> float:
        """Seconds of processor time one image may take."""
        limits = self.job.limits
        return max(limits.time_floor, limits.time_factor * self.seconds)

    @property
    def memory_limit(self) -> int:
        """Bytes a mutant may take beyond what the parent has."""
        limits, original = self.job.limits, self.job.original
        return limits.memory_floor + int(limits.memory_factor * sum(spec.nbytes for spec in original.values))


@attrs.define(eq=False)
class Trial:
    """A mutant's process as the parent sees it.

    ``cpu`` is the processor time it had used when its phase began, ``watched`` for how many seconds the
    parent has watched it in this phase.
    """

    mutant: str
    child: isolate.Child
    phase: str = BUILD
    cpu: float = 0.0
    watched: float = 0.0
    result: Observation | None = None

    def enter(self, phase: str, cpu: float) -> None:
        """Note that a phase began; its limit counts from there."""
        self.phase, self.cpu, self.watched = phase, cpu, 0.0

    def overtime(self, limit: float) -> str:
        """Return how the phase has used up its limit, in seconds of processor time, or ""."""
        if self.watched > limit * WALL_FACTOR:
            return f"stuck for {limit * WALL_FACTOR:g} s without using {limit:g} s of processor time"
        if self.child.cpu_seconds() - self.cpu > limit:
            return f"exceeded {limit:g} s of processor time"
        return ""


@attrs.define(eq=False)
class Crew:
    """The trials under way, each in its own process, and one that stands by to take the next free place."""

    parent: Parent
    waiting: list[str]
    ran: dict[str, str] = attrs.field(init=False, factory=dict)
    """The mutants that have run, by the identity of their programs; each process inherits it."""
    running: dict[int, Trial] = attrs.field(init=False, factory=dict)
    _standby: Trial | None = attrs.field(init=False, default=None)
    _selector: selectors.BaseSelector = attrs.field(init=False, factory=selectors.DefaultSelector)
    _looked: float = attrs.field(init=False, factory=time.monotonic)

    def fill(self) -> None:
        """Start trials where there is place for them, and fork a process ahead for the next."""
        while len(self.running) < self.parent.job.workers and (self._standby or self.waiting):
            trial = self._standby or self._fork(self.waiting.pop())
            self._standby = None
            trial.child.go()
            self.running[trial.child.pid] = trial
            self._selector.register(trial.child.pipe, selectors.EVENT_READ, trial)
        if self._standby is None and self.waiting:
            self._standby = self._fork(self.waiting.pop())

    def _fork(self, mutant: str) -> Trial:
        work = functools.partial(_work, self.parent, mutant, self.ran)
        return Trial(mutant, isolate.fork(work, self.parent.memory_limit))

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
        for trial in self.running.values():
            trial.watched += min(passed, LONGEST_WATCH)
            building = trial.phase == BUILD
            limit = self.parent.job.limits.build_seconds if building else self.parent.image_limit
            if trial.result is None and (how := trial.overtime(limit)):
                trial.child.kill()
                trial.result = Observation(trial.mutant, "build-error" if building else "timed-out", how)

    def _dismiss(self, trial: Trial) -> Observation:
        del self.running[trial.child.pid]
        self._selector.unregister(trial.child.pipe)
        seen = _observe(trial)
        if seen.outcome == "ran":
            self.ran.setdefault(seen.program, seen.mutant)
        return seen

    def disband(self) -> None:
        """Kill the trials that are still running."""
        for trial in list(self.running.values()):
            self._dismiss(trial)
        if self._standby:
            _observe(self._standby)
        self._selector.close()


class Fork(Executor):
    """Forks one process per mutant from a parent that has run the original."""

    name = "fork"

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        """Yield an observation per mutant as each ends, at most ``job.workers`` at a time."""
        crew = Crew(Parent.warm(job), list(reversed(mutants)))
        try:
            crew.fill()
            while crew.running:
                seen = crew.follow()
                crew.fill()  # first: the consumer may take its time over what was seen
                yield from seen
        finally:
            crew.disband()


def _choose_kept(job: Job, evaluator: Evaluator, original: Linked) -> frozenset[int]:
    if not len(job.images):
        return frozenset()
    evaluator.output(original, job.images[0])  # first calls pay for page faults and caches
    _, seconds = evaluator.timed(original, job.images[0])
    return choose_kept(original, seconds, job.limits.shard_bytes // len(job.images))


def _check_repeats(job: Job, outputs: list[Any]) -> None:
    for index, (output, expected) in enumerate(zip(outputs, job.expected, strict=True)):
        difference = float(np.abs(output.reshape(-1).astype(np.float32) - expected).max())
        if not difference <= job.noise:
            raise InfrastructureError(
                f"the original does not repeat its baseline output on image {index}: off by {difference:g}, "
                f"noise {job.noise:g}; check this machine's memory and run again"
            )


def _listen(trial: Trial) -> bool:
    """Take all messages that have come; return whether the process has ended."""
    try:
        while trial.child.pipe.poll():
            message = isolate.receive(trial.child.pipe)
            if "phase" in message:
                trial.enter(message["phase"], message["cpu"])
            else:
                trial.result = _unpack(trial, message)
    except (EOFError, OSError, ValueError):  # the end, possibly in the middle of a message
        return True
    return False


def _unpack(trial: Trial, message: dict[str, Any]) -> Observation:
    plain = ("outcome", "message", "executed", "seconds", "program", "masked")
    fields = {name: message[name] for name in plain}
    arrays: dict[str, Any] = {}
    if message["outcome"] == "ran":
        rows = np.asarray(message["rows"], np.intp)
        outputs = np.frombuffer(trial.child.pipe.recv_bytes(), np.float32).reshape(
            len(rows), message["classes"]
        )
        arrays = {"rows": rows, "outputs": outputs, "infected": np.asarray(message["infected"], bool)}
    return Observation(trial.mutant, kernels=tuple(message["kernels"]), **fields, **arrays)


def _observe(trial: Trial) -> Observation:
    """End a process and return what became of it."""
    trial.child.kill()  # a process that is dead already keeps its status
    code, number = trial.child.reap()
    if trial.result is not None:
        return trial.result
    if number in RUNTIME_SIGNALS:
        name = signal.Signals(number).name
        if trial.phase == BUILD:
            return Observation(trial.mutant, "build-error", f"the compiler died of {name}")
        return Observation(trial.mutant, "crashed", name, signal=number)
    if not (
        code or number or trial.phase == BUILD
    ):  # the engine never ends so: the mutant's code called exit
        return Observation(trial.mutant, "crashed", f"ended its process ({trial.phase})")
    how = f"was killed by signal {number}" if number else f"ended with exit code {code}"
    return Observation(trial.mutant, "infrastructure-error", f"its process {how} ({trial.phase} phase)")


# What follows runs in the mutant's process.


def _work(parent: Parent, mutant: str, ran: Mapping[str, str], pipe: Connection) -> None:
    start = time.monotonic()
    seen = _Seen()
    outcome, message = _attempt(parent, mutant, ran, pipe, seen)
    seen.seconds["total"] = time.monotonic() - start
    isolate.send(
        pipe,
        outcome=outcome,
        message=message,
        executed=seen.executed,
        kernels=sorted(seen.kernels),
        program=seen.program,
        masked=seen.masked,
        seconds=seen.seconds,
        infected=[int(flag) for flag in seen.infected],
        rows=seen.rows,
        classes=parent.classes,
    )
    if outcome == "ran":
        pipe.send_bytes(b"".join(seen.outputs))


@attrs.define(eq=False)
class _Seen:
    executed: int = 0
    kernels: set[str] = attrs.field(factory=set)
    program: str = ""
    masked: Counter[str] = attrs.field(factory=Counter)
    infected: list[bool] = attrs.field(factory=list)
    rows: list[int] = attrs.field(factory=list)
    outputs: list[bytes] = attrs.field(factory=list)
    seconds: dict[str, float] = attrs.field(factory=dict)

    def add(self, index: int, evaluation: Evaluation, device: Any) -> None:
        self.executed += evaluation.executed
        self.kernels |= evaluation.kernels
        self.infected.append(evaluation.infected)
        self.masked.update([evaluation.masked] if evaluation.masked else [])
        if evaluation.differs:
            self.rows.append(index)
            self.outputs.append(device.fetch(evaluation.output).astype(np.float32).tobytes())


def _attempt(
    parent: Parent, mutant: str, ran: Mapping[str, str], pipe: Connection, seen: _Seen
) -> tuple[Outcome, str]:
    building = True
    try:
        program = parent.job.derive(mutant)
        seen.program = program.identity
        if seen.program == parent.job.original.identity:
            return "equivalent", UNCHANGED if program is parent.job.original else SAME_CODE
        if seen.program in ran:
            return "duplicate", ran[seen.program]
        _check_output(program, parent.job.original)
        linked = parent.evaluator.link(program)
        building = False
        _run_images(parent, linked, pipe, seen)
    except Exception as error:  # an operator may fail in any way
        return _failure(error, building=building)
    return "ran", ""


def _failure(error: Exception, *, building: bool) -> tuple[Outcome, str]:
    if isinstance(error, (BuildError, KernelError)):
        outcome: Outcome = "out-of-bounds" if isinstance(error, OutOfBoundsError) else "crashed"
        message = str(error)
    elif isinstance(error, MemoryError):
        outcome, message = "crashed", "exceeded the memory limit"
    else:  # while it runs, what else fails is ours
        outcome, message = "infrastructure-error", f"{type(error).__name__}: {last_line(error)}"
    return "build-error" if building else outcome, message


def _check_output(program: Program, original: Program) -> None:
    mine, theirs = program.values[program.output], original.values[original.output]
    if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
        raise BuildError(f"the output became {mine}, it was {theirs}")
    if not any(program.output in call.results for call in program.calls):
        raise BuildError("no code is left to run: the output became a constant or the image itself")


def _run_images(parent: Parent, linked: Linked, pipe: Connection, seen: _Seen) -> None:
    evaluator = parent.evaluator
    for index, known in enumerate(parent.known):
        isolate.send(pipe, phase=f"image {index}", cpu=time.process_time())
        seen.add(index, evaluator.mutant(linked, known, reuse=parent.job.reuse), evaluator.device)
    if parent.known and not seen.executed:
        raise InfrastructureError("no changed code was executed, so there is nothing to judge")


@hookimpl
def mutatenn_executors() -> list[type[Executor]]:
    """Contribute the executor."""
    return [Fork]
