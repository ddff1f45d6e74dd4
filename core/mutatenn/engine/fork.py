"""Runs each mutant in a process forked from a parent that holds the original's values."""

from __future__ import annotations

import selectors
import signal
import time
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.executor import Executor, Job, Observation, Outcome
from mutatenn.engine import isolate
from mutatenn.engine.evaluate import Evaluation, Evaluator, KernelError, Values, output_name
from mutatenn.errors import BuildError, InfrastructureError
from mutatenn.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

    from mutatenn.api.program import Program

POLL_SECONDS = 0.1
# A mutant that uses no processor time is stuck all the same; wall time is only trusted at a multiple of the limit,
# because it also counts what other programs on this machine take.
WALL_FACTOR = 10
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
    """The warm process: evaluator, the original's values per image, and the seconds an image takes."""

    job: Job
    evaluator: Evaluator
    known: list[Values]
    seconds: float

    @classmethod
    def warm(cls, job: Job) -> Parent:
        """Build the original, run it on every image and keep all values."""
        evaluator = Evaluator(job.backend.open())
        evaluator.prepare(job.original)
        if len(job.images):
            evaluator.original(job.original, job.images[0])  # first calls pay for page faults and caches
        start = time.process_time()
        known = [evaluator.original(job.original, image) for image in job.images]
        seconds = (time.process_time() - start) / max(1, len(job.images))
        _check_repeats(job, [evaluator.device.fetch(values.output) for values in known])
        return cls(job, evaluator, known, seconds)

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
    """A mutant's process as the parent sees it."""

    mutant: str
    child: isolate.Child
    phase: str = "build"
    since: float = attrs.field(factory=time.monotonic)
    cpu: float = 0.0
    result: Observation | None = None

    def enter(self, phase: str) -> None:
        """Note that a phase begins; its limit counts from here."""
        self.phase, self.since, self.cpu = phase, time.monotonic(), self.child.cpu_seconds()

    def overdue(self, limit: float) -> bool:
        """Tell whether the phase has used up its limit, in seconds of processor time."""
        wall = time.monotonic() - self.since
        return wall > limit and (self.child.cpu_seconds() - self.cpu > limit or wall > limit * WALL_FACTOR)


class Fork(Executor):
    """Forks one process per mutant from a parent that has run the original."""

    name = "fork"

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        """Yield an observation per mutant as each ends, at most ``job.workers`` at a time."""
        parent = Parent.warm(job)
        waiting = list(reversed(mutants))
        running: dict[int, Trial] = {}
        selector = selectors.DefaultSelector()
        try:
            while waiting or running:
                while waiting and len(running) < job.workers:
                    trial = _start(parent, waiting.pop())
                    running[trial.child.pid] = trial
                    selector.register(trial.child.pipe, selectors.EVENT_READ, trial)
                for trial in _wait(selector, running, parent):
                    selector.unregister(trial.child.pipe)
                    del running[trial.child.pid]
                    yield _observe(trial)
        finally:
            selector.close()
            for trial in running.values():
                trial.child.kill()
                trial.child.reap()


def _check_repeats(job: Job, outputs: list[Any]) -> None:
    for index, (output, expected) in enumerate(zip(outputs, job.expected, strict=True)):
        difference = float(np.abs(output.reshape(-1).astype(np.float32) - expected).max())
        if not difference <= job.noise:
            raise InfrastructureError(
                f"the original does not repeat its baseline output on image {index}: off by {difference:g}, "
                f"noise {job.noise:g}; check this machine's memory and run again"
            )


def _start(parent: Parent, mutant: str) -> Trial:
    child = isolate.fork(lambda pipe: _work(parent, mutant, pipe), parent.memory_limit)
    return Trial(mutant, child)


def _wait(selector: selectors.BaseSelector, running: dict[int, Trial], parent: Parent) -> Iterator[Trial]:
    """Follow the running trials for a moment; yield those that ended."""
    for key, _ in selector.select(POLL_SECONDS):
        if _follow(key.data):
            yield key.data
    for trial in list(running.values()):
        limit = parent.job.limits.build_seconds if trial.phase == "build" else parent.image_limit
        if trial.result is None and trial.overdue(limit):
            trial.child.kill()
            trial.result = _overtime(trial, limit)


def _follow(trial: Trial) -> bool:
    """Take one message; return whether the process has ended."""
    try:
        message = isolate.receive(trial.child.pipe)
        if "phase" in message:
            trial.enter(message["phase"])
        else:
            trial.result = _unpack(trial, message)
    except (EOFError, OSError, ValueError):  # the end, possibly in the middle of a message
        return True
    return False


def _unpack(trial: Trial, message: dict[str, Any]) -> Observation:
    fields = {name: message[name] for name in ("outcome", "message", "executed", "seconds")}
    arrays = {}
    if message["outcome"] == "ran":
        rows = np.asarray(message["rows"], np.intp)
        outputs = np.frombuffer(trial.child.pipe.recv_bytes(), np.float32).reshape(
            len(rows), message["classes"]
        )
        arrays = {"rows": rows, "outputs": outputs, "infected": np.asarray(message["infected"], bool)}
    return Observation(trial.mutant, kernels=tuple(message["kernels"]), **fields, **arrays)


def _observe(trial: Trial) -> Observation:
    """Return what became of a process that has ended."""
    code, number = trial.child.reap()
    if trial.result is not None:
        return trial.result
    if number in RUNTIME_SIGNALS:
        name = signal.Signals(number).name
        if trial.phase == "build":
            return Observation(trial.mutant, "build-error", f"the compiler died of {name}")
        return Observation(trial.mutant, "crashed", name, signal=number)
    how = f"was killed by signal {number}" if number else f"ended with exit code {code}"
    return Observation(trial.mutant, "infrastructure-error", f"its process {how} ({trial.phase} phase)")


def _overtime(trial: Trial, limit: float) -> Observation:
    outcome: Outcome = "build-error" if trial.phase == "build" else "timed-out"
    return Observation(trial.mutant, outcome, f"exceeded {limit:.0f} s of processor time")


# What follows runs in the mutant's process.


def _work(parent: Parent, mutant: str, pipe: Connection) -> None:
    start = time.monotonic()
    seen = _Seen()
    outcome, message = _attempt(parent, mutant, pipe, seen)
    seen.seconds["total"] = time.monotonic() - start
    ran = outcome == "ran"
    isolate.send(
        pipe,
        outcome=outcome,
        message=message,
        executed=seen.executed,
        kernels=sorted(seen.kernels),
        seconds=seen.seconds,
        infected=[int(flag) for flag in seen.infected],
        rows=seen.rows,
        classes=parent.classes,
    )
    if ran:
        pipe.send_bytes(b"".join(seen.outputs))


@attrs.define(eq=False)
class _Seen:
    executed: int = 0
    kernels: set[str] = attrs.field(factory=set)
    infected: list[bool] = attrs.field(factory=list)
    rows: list[int] = attrs.field(factory=list)
    outputs: list[bytes] = attrs.field(factory=list)
    seconds: dict[str, float] = attrs.field(factory=dict)

    def add(self, index: int, evaluation: Evaluation, device: Any) -> None:
        self.executed += evaluation.executed
        self.kernels |= evaluation.kernels
        self.infected.append(evaluation.infected)
        if evaluation.differs:
            self.rows.append(index)
            self.outputs.append(device.fetch(evaluation.output).astype(np.float32).tobytes())


def _attempt(parent: Parent, mutant: str, pipe: Connection, seen: _Seen) -> tuple[Outcome, str]:
    try:
        program = parent.job.derive(mutant)
        if output_name(program) == output_name(parent.job.original):
            return "equivalent", "the changed code computes the original's very values"
        _check_output(program, parent.job.original)
        parent.evaluator.prepare(program)
    except BuildError as error:
        return "build-error", str(error)
    except MemoryError:
        return "build-error", "the compiler exceeded the memory limit"
    except Exception as error:  # an operator may fail in any way
        return "build-error", f"{type(error).__name__}: {error}"
    try:
        _run_images(parent, program, pipe, seen)
    except KernelError as error:
        return "crashed", str(error)
    except MemoryError:
        return "crashed", "exceeded the memory limit"
    if not seen.executed and len(parent.known):
        return "infrastructure-error", "no changed code was executed, so there is nothing to judge"
    return "ran", ""


def _check_output(program: Program, original: Program) -> None:
    mine, theirs = program.values[program.output], original.values[original.output]
    if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
        raise BuildError(f"the output became {mine}, it was {theirs}")


def _run_images(parent: Parent, program: Program, pipe: Connection, seen: _Seen) -> None:
    for index, known in enumerate(parent.known):
        isolate.send(pipe, phase=f"image {index}")
        seen.add(
            index, parent.evaluator.mutant(program, known, reuse=parent.job.reuse), parent.evaluator.device
        )


@hookimpl
def mutatenn_executors() -> list[type[Executor]]:
    """Contribute the executor."""
    return [Fork]
