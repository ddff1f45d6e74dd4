"""What happens in a mutant's process: it runs against what is known of the original, and reports."""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.executor import Observation
from mutatenn.compiler.kernels import last_line
from mutatenn.engine import isolate, messages
from mutatenn.engine.evaluate import KernelError, OutOfBoundsError
from mutatenn.engine.same_code import SAME_MACHINE_CODE, same_code, same_program
from mutatenn.engine.trial import BUILD, IMAGE, MEMORY_EXCEEDED, ORIGINAL
from mutatenn.errors import BuildError, DeviceLostError, InfrastructureError
from mutatenn.results.observations import observation_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection

    from mutatenn.api.executor import Outcome
    from mutatenn.api.program import Program
    from mutatenn.engine.evaluate import Evaluation
    from mutatenn.engine.link import LinkedProgram
    from mutatenn.engine.warm import PreparedOriginal

LEAVES = "leaves its buffer"
UNWRITTEN = "reads memory that nothing has written"
MACHINE_ERRORS = (OSError, ImportError, InfrastructureError)


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

    def arrays(self, classes: int) -> dict[str, Any]:
        """Return it as the arrays of an observation; an output has so many scores."""
        outputs = np.frombuffer(b"".join(self.outputs), np.float32).reshape(len(self.rows), classes)
        rows, infected = np.array(self.rows, np.intp), np.array(self.infected, bool)
        return {"rows": rows, "infected": infected, "outputs": outputs}


@attrs.define(eq=False)
class Report:
    """What a process has to say of a mutant, and the pipe to say it on.

    A copy of the process, made by the mutant's code, says nothing: it ends.
    """

    warm: PreparedOriginal
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
    running: float = 0.0
    """Seconds of processor time for the mutant's own calls."""
    start: float = attrs.field(factory=time.monotonic)
    process: int = attrs.field(factory=os.getpid)

    def enter(self, phase: str) -> None:
        """Tell that a phase begins."""
        self._tell(phase=phase, cpu=time.process_time())

    def _tell(self, outputs: Sequence[memoryview] = (), **message: Any) -> None:
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

    def send(self, outcome: Outcome, message: str, *, spent: bool = False) -> None:
        """Send it all; a process that is ``spent`` takes no other mutant."""
        ran, classes = outcome == "ran", messages.classes(self.warm.job)
        again = Observation(self.mutant, "ran", **self.again.arrays(classes)) if ran and self.shaken else None
        seen = Observation(
            self.mutant,
            outcome,
            messages.clean(message),
            executed=self.executed,
            kernels=tuple(sorted(self.kernels)),
            program=self.program,
            masked=self.masked,
            seconds={
                "total": time.monotonic() - self.start,
                "running": self.running,
                "original": self.warm.work * len(self.seen.infected),
            },
            memory=self.memory,
            again=again,
            **(self.seen.arrays(classes) if ran else {}),
        )
        outputs = [each.outputs.data for each in (seen, again) if each]
        self._tell(outputs, **observation_fields(seen), spent=spent, damaged=self.damaged)


def attempt(report: Report, ran: Mapping[str, str]) -> tuple[Outcome, str]:
    """Derive the mutant and run it on all images; ``ran`` are the mutants that have run, by their programs.

    Raises DeviceLostError alone.
    """
    warm, building = report.warm, True
    original = warm.job.original
    try:
        program = warm.job.derive(report.mutant)
        report.program = program.identity
        if same := same_program(original, program):
            return "equivalent", same
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
        return failure(error, building=building)
    return "ran", ""


def _is_original(report: Report, program: Program) -> bool:
    """Tell whether what infected no value on any image is the original's very code."""
    if not report.seen.infected or any(report.seen.infected):
        return False
    report.enter(BUILD)  # its limit holds now
    return same_code(report.warm.job.backend, report.warm.job.original, program)


def failure(error: Exception, *, building: bool) -> tuple[Outcome, str]:
    """Return the outcome, and why, of a mutant that failed so while it was built, or while it ran."""
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


def _run_images(report: Report, linked: LinkedProgram) -> None:
    warm = report.warm
    run = functools.partial(warm.evaluator.mutant, linked, reuse=warm.job.reuse)
    for index in range(len(warm.job.images)):
        if not warm.knows(index):
            report.enter(f"{ORIGINAL} {index}")
        known = warm.known(index)
        report.enter(f"{IMAGE} {index}")
        start = time.process_time()
        evaluation = run(known)
        report.running += time.process_time() - start
        report.add(index, evaluation)
    if len(warm.job.images) and not report.executed:
        raise InfrastructureError("no changed code was executed, so there is nothing to judge")
