"""One mutant's trial: in its process it runs against what is known of the original, the parent follows it."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.executor import Job, Observation, Outcome
from mutatenn.border import opened
from mutatenn.compiler.kernels import last_line
from mutatenn.engine import isolate, messages
from mutatenn.engine.evaluate import Evaluation, Evaluator, KernelError, Known, OutOfBoundsError
from mutatenn.engine.keep import choose_kept
from mutatenn.engine.messages import End, GarbledError, Phase, Problem
from mutatenn.engine.same_code import same_code
from mutatenn.errors import BuildError, DeviceLostError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from multiprocessing.connection import Connection

    from mutatenn.api.program import Program
    from mutatenn.engine.link import Linked

BUILD = "build"
ORIGINAL = "original"
IMAGE = "image"
UNCHANGED = "the mutation left the IR structurally equal to the original's"
SAME_CODE = "lowered, the changed IR is the original's very code"
SAME_MACHINE_CODE = "built, the changed code is the original's very machine code"
LEAVES = "leaves its buffer"
UNWRITTEN = "reads memory that nothing has written"
POLL_SECONDS = 0.1
PHASES_PER_IMAGE = 16
LAST_MOMENTS = 0.5  # seconds, at most, from the end of a dying process' pipe to its own
MEMORY_EXCEEDED = "exceeded the memory limit"
COMPILER_DIED = "the compiler died of"
MOST_MEMORY = 2**60  # bytes; sums of such stay representable
# The most that one look at the running mutants adds to the time they were watched: a machine that slept,
# a suspended campaign or a consumer that took long over an observation says nothing about a mutant.
LONGEST_WATCH = 5 * POLL_SECONDS
MACHINE_ERRORS = (OSError, ImportError, InfrastructureError)
RUNTIME_SIGNALS = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
}


@attrs.define(eq=False)
class Warm:
    """An open device that holds the original, and what is known of it per image.

    ``seconds`` is what the original takes for an image. What is kept may be ``sealed``: see :meth:`intact`.
    """

    job: Job
    evaluator: Evaluator
    original: Linked
    kept: frozenset[int]
    seconds: float
    sealed: bool = False
    _known: dict[int, Known] = attrs.field(init=False, factory=dict)
    _seals: list[tuple[Any, bytes]] = attrs.field(init=False, factory=list)

    @classmethod
    def up(cls, job: Job, *, sealed: bool = False) -> Warm:
        """Open the device, build the original, and choose the values to keep: all there is room for."""
        evaluator = Evaluator(opened(job.backend))
        original = evaluator.link(job.original)
        kept: frozenset[int] = frozenset()
        seconds = [0.0]
        if len(job.images):
            evaluator.output(original, job.images[0])  # first calls pay for page faults and caches
            _, seconds = evaluator.timed(original, job.images[0])
            kept = choose_kept(original, seconds, job.limits.shard_bytes // len(job.images))
        warm = cls(job, evaluator, original, kept, sum(seconds), sealed)
        warm._seal(constant for constant in original.constants if constant is not None)
        return warm

    def knows(self, index: int) -> bool:
        """Tell whether the original has run on an image."""
        return index in self._known

    def known(self, index: int) -> Known:
        """Return what is known of the original on an image; runs it there the first time.

        Raises InfrastructureError if it does not repeat its baseline output.
        """
        if index not in self._known:
            known = self.evaluator.original(self.original, self.job.images[index], self.kept)
            _check_repeats(self.job, index, self.evaluator.device.fetch(known.output))
            self._known[index] = known
            self._seal(known.tensors.values())
        return self._known[index]

    def intact(self) -> bool:
        """Tell whether all that was kept and sealed is still what it was."""
        digest = self.evaluator.device.digest
        return all(digest(tensor) == seal for tensor, seal in self._seals)

    def _seal(self, tensors: Iterable[Any]) -> None:
        if self.sealed:
            self._seals += [(tensor, self.evaluator.device.digest(tensor)) for tensor in tensors]


def image_limit(job: Job, seconds: float) -> float:
    """Return how many seconds a mutant may take for an image for which the original takes ``seconds``."""
    return max(job.limits.time_floor, job.limits.time_factor * seconds)


def memory_limit(job: Job) -> int:
    """Return how many bytes a mutant may take beyond what its parent has."""
    values = job.original.values
    share = job.limits.memory_factor * sum(spec.nbytes for spec in values)
    return min(job.limits.memory_floor, MOST_MEMORY) + int(min(share, MOST_MEMORY))


def _check_repeats(job: Job, index: int, output: Any) -> None:
    found, expected = output.reshape(-1).astype(np.float32), job.expected[index]
    with np.errstate(invalid="ignore"):  # infinite scores of both are equal
        difference = float(np.abs(np.where(found == expected, 0, found - expected)).max())
    if not difference <= job.noise:
        raise InfrastructureError(
            f"the original does not repeat its baseline output on image {index}: off by {difference:g}, "
            f"noise {job.noise:g}; check this machine's memory and run again"
        )


# In the parent.


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
            name = signal.Signals(number).name
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


def is_doubtful(seen: Observation, trial: Trial) -> bool:
    """Tell whether an end must show again, in a fresh process, to count."""
    unannounced = trial.result is None and seen.outcome == "infrastructure-error"
    return unannounced or trial.blame is not None or seen.signal is not None


def settle_twice(
    first: Observation, second: Observation, blames: tuple[Outcome | None, Outcome | None]
) -> Observation:
    """Return what counts of an end in doubt and that in a fresh process; ``blames`` are the two trials'."""
    if second.outcome == "infrastructure-error":
        return settle(second, blames[1] if blames[0] else None)
    harmed = first.outcome == "crashed" or blames[0] == "crashed"
    if not harmed or second.outcome == "crashed":
        return second
    told = f"{first.message or first.outcome} in one process, {second.outcome} in another"
    return Observation(first.mutant, "unstable", told)


# In the mutant's process.


@attrs.define(eq=False)
class Rows:
    """What was seen image by image: which are infected, which have another output, and their outputs."""

    infected: list[bool] = attrs.field(factory=list)
    rows: list[int] = attrs.field(factory=list)
    outputs: list[bytes] = attrs.field(factory=list)

    def add(self, index: int, evaluation: Evaluation, fetch: Callable[[Any], Any]) -> None:
        """Take down what was seen on an image."""
        self.infected.append(evaluation.infected)
        if evaluation.differs:
            self.rows.append(index)
            self.outputs.append(fetch(evaluation.output).astype(np.float32).tobytes())

    def lists(self) -> dict[str, list[int]]:
        """Return all but the outputs as plain lists."""
        return {"infected": [int(flag) for flag in self.infected], "rows": self.rows}


@attrs.define(eq=False)
class Report:
    """What a process has to say of a mutant, and the pipe to say it on.

    A copy of the process, made by the mutant's code, says nothing: it ends.
    """

    warm: Warm
    mutant: str
    pipe: Connection
    executed: int = 0
    kernels: set[str] = attrs.field(factory=set)
    program: str = ""
    masked: Counter[str] = attrs.field(factory=Counter)
    memory: str = ""
    damaged: bool = False
    shaken: bool = False
    seen: Rows = attrs.field(factory=Rows)
    again: Rows = attrs.field(factory=Rows)
    """The same with another content of memory that must not be read, where that matters on some image."""
    start: float = attrs.field(factory=time.monotonic)
    process: int = attrs.field(factory=os.getpid)

    def enter(self, phase: str) -> None:
        """Tell that a phase begins."""
        self._tell(phase=phase, cpu=time.process_time())

    def _tell(self, outputs: bytes = b"", **message: Any) -> None:
        if os.getpid() != self.process:
            os._exit(0)
        isolate.send(self.pipe, outputs, **message)

    def add(self, index: int, evaluation: Evaluation) -> None:
        """Take down what was seen on an image."""
        self.executed += evaluation.executed
        self.kernels |= evaluation.kernels
        self.masked.update([evaluation.masked] if evaluation.masked else [])
        self.memory = self.memory or (evaluation.left and f"{LEAVES}: {evaluation.left}")
        if evaluation.again and not self.memory:
            self.memory = UNWRITTEN
        self.shaken |= evaluation.again is not None
        fetch = self.warm.evaluator.device.fetch
        self.seen.add(index, evaluation, fetch)
        self.again.add(index, evaluation.again or evaluation, fetch)

    def _outputs(self) -> bytes:
        return b"".join([*self.seen.outputs, *(self.again.outputs if self.shaken else ())])

    def send(self, outcome: Outcome, message: str, *, spent: bool = False) -> None:
        """Send it all; a process that is ``spent`` takes no other mutant."""
        self._tell(
            self._outputs() if outcome == "ran" else b"",
            mutant=self.mutant,
            outcome=outcome,
            message=messages.clean(message),
            executed=self.executed,
            kernels=sorted(self.kernels),
            program=self.program,
            masked=self.masked,
            seconds={"total": time.monotonic() - self.start},
            memory=self.memory,
            **self.seen.lists(),
            again=self.again.lists() if self.shaken else None,
            spent=spent,
            damaged=self.damaged,
        )


def attempt(report: Report, ran: Mapping[str, str]) -> tuple[Outcome, str]:
    """Derive the mutant and run it on all images; ``ran`` are the mutants that have run, by their programs.

    Raises DeviceLostError alone.
    """
    warm, building = report.warm, True
    original = warm.job.original
    try:
        program = warm.job.derive(report.mutant)
        report.program = program.identity
        if report.program == original.identity:
            return "equivalent", UNCHANGED if program is original else SAME_CODE
        if report.program in ran:
            return "duplicate", ran[report.program]
        _check_output(program, original)
        linked = warm.evaluator.link(program)
        building = False
        _run_images(report, linked)
        if _is_original(report, program):
            return "equivalent", SAME_MACHINE_CODE
    except DeviceLostError:
        raise
    except Exception as error:  # an operator may fail in any way
        report.damaged = not (building or isinstance(error, (KernelError, MemoryError, *MACHINE_ERRORS)))
        return _failure(error, building=building)
    return "ran", ""


def _is_original(report: Report, program: Program) -> bool:
    """Tell whether what infected no value on any image is the original's very code."""
    if not report.seen.infected or any(report.seen.infected):
        return False
    report.enter(BUILD)  # its limit holds now
    return same_code(report.warm.job.backend, report.warm.job.original, program)


def _failure(error: Exception, *, building: bool) -> tuple[Outcome, str]:
    if isinstance(error, (BuildError, KernelError)):
        outcome: Outcome = "out-of-bounds" if isinstance(error, OutOfBoundsError) else "crashed"
        message = str(error)
    elif isinstance(error, MemoryError):
        outcome, message = "crashed", MEMORY_EXCEEDED
    else:  # while it runs, what else fails is ours
        outcome, message = "infrastructure-error", f"{type(error).__name__}: {last_line(error)}"
        building = building and not _is_of_the_machine(error)
    return "build-error" if building else outcome, message


def _is_of_the_machine(error: BaseException | None) -> bool:
    """Tell whether an error may come of a full disk, a lack of files or rights, or a missing package."""
    if error is None:
        return False
    return isinstance(error, MACHINE_ERRORS) or _is_of_the_machine(error.__cause__)


def _check_output(program: Program, original: Program) -> None:
    mine, theirs = program.values[program.output], original.values[original.output]
    if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
        raise BuildError(f"the output became {mine}, it was {theirs}")
    if not any(program.output in call.results for call in program.calls):
        raise BuildError("no code is left to run: the output became a constant or the image itself")


def _run_images(report: Report, linked: Linked) -> None:
    warm = report.warm
    run = functools.partial(warm.evaluator.mutant, linked, reuse=warm.job.reuse)
    for index in range(len(warm.job.images)):
        if not warm.knows(index):
            report.enter(f"{ORIGINAL} {index}")
        known = warm.known(index)
        report.enter(f"{IMAGE} {index}")
        report.add(index, run(known))
    if len(warm.job.images) and not report.executed:
        raise InfrastructureError("no changed code was executed, so there is nothing to judge")
