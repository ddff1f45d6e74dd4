"""Evaluates linked programs, mutants against what is known of the original.

A mutant finds everything that stands before its fault under a number the original's run already has, and
computes only the rest. When a value it computes equals one of the original's bit for bit, it takes over that
number, and everything after it is known again: the infection has died out.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.memory import FIRST, SECOND, Memory
from mutatenn.compiler.monitor import WORDS
from mutatenn.engine.link import IMAGE, LinkedProgram, Linker
from mutatenn.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.backend import Device
    from mutatenn.api.program import Program
    from mutatenn.api.values import TensorSpec
    from mutatenn.engine.link import Numbering, Step

    Key = tuple[tuple[int, ...], str]


class KernelError(Exception):
    """A kernel reported an error while it ran: the program's own behaviour, not the machinery's."""


class OutOfBoundsError(KernelError):
    """A kernel was about to write outside a buffer, or to read where no guard answers."""


@attrs.define(eq=False)
class OriginalValues:
    """What is known of the original on one image: some of its tensors by number, and its output.

    ``sketches`` lists the numbers of all values by shape, dtype and sketch, see :meth:`Device.sketch`.
    """

    original: LinkedProgram
    tensors: dict[int, Any] = attrs.field(factory=dict)
    sketches: dict[tuple[Key, bytes], list[int]] = attrs.field(factory=dict)
    output: Any = None


@attrs.define(eq=False)
class Evaluation:
    """A mutant's run on one image.

    ``executed`` counts the calls run whose value number the original does not have, ``kernels`` are the
    digests of their kernels. (A program that only takes another of the original's values as its output has
    no such call; there the one that gives this value runs and counts.) ``infected`` tells that a result of
    one of them equals no value of the original's, or that the output differs. ``differs`` compares the output
    with the original's bit for bit. ``masked`` names the kernel in which an infection died that did not reach
    the output: the last that made the original's values of infected ones. ``left`` is the first access that
    left its buffer, a read that a guard answered. Where what a changed kernel computes depends on memory that
    it must not read, ``again`` is the run with another content of it.
    """

    output: Any = None
    differs: bool = False
    executed: int = 0
    infected: bool = False
    kernels: set[str] = attrs.field(factory=set)
    masked: str = ""
    left: str = ""
    again: Evaluation | None = None
    _sick: set[int] = attrs.field(factory=set)

    def add(self, step: Step, twins: Sequence[int | None]) -> None:
        """Count a step that the original does not have, and which of its results the original has."""
        self.executed += 1
        self.kernels.add(step.kernel)
        sick = [value for value, twin in zip(step.results, twins, strict=True) if twin is None]
        self.infected |= bool(sick)
        if not sick and not self._sick.isdisjoint(step.arguments):
            self.masked = step.name
        self._sick.update(sick)

    def end(self, output: Any, *, differs: bool) -> Evaluation:
        """Add what came out at the end."""
        self.output, self.differs = output, differs
        self.infected |= differs
        self.masked = "" if differs else self.masked
        return self


@attrs.define(eq=False)
class Evaluator:
    """Runs linked programs on one open device."""

    device: Device
    linker: Linker = attrs.field(init=False)
    _spare: dict[Key, list[Any]] = attrs.field(init=False, factory=dict)
    _others: dict[Key, list[Any]] = attrs.field(init=False, factory=dict)
    _monitors: dict[tuple[int, Memory], Any] = attrs.field(init=False, factory=dict)
    _left: str = attrs.field(init=False, default="")
    whole: set[str] = attrs.field(init=False, factory=set)
    """Kernels that the original ran on poisoned memory; what they leave unwritten has shown by now."""

    def __attrs_post_init__(self) -> None:
        self.linker = Linker(self.device)

    def link(self, program: Program, *, backwards: bool = False) -> LinkedProgram:
        """Make a program ready to run; see :meth:`Linker.link`."""
        return self.linker.link(program, backwards=backwards)

    def output(self, linked: LinkedProgram, image: NDArray[np.generic]) -> Any:
        """Run the original on one image, ``[*input.shape[1:]]``, and return the output tensor alone."""
        return self.timed(linked, image)[0]

    def timed(self, linked: LinkedProgram, image: NDArray[np.generic]) -> tuple[Any, list[float]]:
        """Run the original on one image; return the output and the seconds of every step."""
        frame = _Frame(self, linked, self._upload(linked, image))
        moments = [time.perf_counter()]
        for step in linked.steps:
            frame.launch(step)
            frame.use(step)
            moments.append(time.perf_counter())
        self.whole.update(linked.program.kernels)
        seconds = [after - before for before, after in itertools.pairwise(moments)]
        return frame.find(linked.program.output), seconds

    def original(
        self, linked: LinkedProgram, image: NDArray[np.generic], keep: Collection[int] | None = None
    ) -> OriginalValues:
        """Run the original on one image and keep the values of some numbers, or of all (None).

        The image and the output are always kept.
        """
        known, frame = OriginalValues(linked), _Frame(self, linked, self._upload(linked, image))
        self._learn(known, linked.program.input, frame.image, keep=True)
        for step in linked.steps:
            numbers = [linked.numbers[value] for value in step.results]
            held = [keep is None or number in keep or number == linked.output for number in numbers]
            results = frame.launch(step, held)
            for value, tensor, hold in zip(step.results, results, held, strict=True):
                self._learn(known, value, tensor, keep=hold)
            frame.use(step)
        self.whole.update(linked.program.kernels)
        known.output = frame.find(linked.program.output)
        return known

    def mutant(self, linked: LinkedProgram, known: OriginalValues, *, reuse: bool = True) -> Evaluation:
        """Run a mutant on the image of which the original's values are known.

        Without ``reuse`` every call runs, on nothing but the image and the constants; what is known then
        only tells what was infected. Raises KernelError, OutOfBoundsError.
        """
        self._left = ""
        seen, shaken = self._run(linked, known, FIRST, reuse=reuse)
        if shaken:
            seen.again, _ = self._run(linked, known, SECOND, reuse=reuse)
        seen.left = self._left
        return seen

    def _run(
        self, linked: LinkedProgram, known: OriginalValues, memory: Memory, *, reuse: bool
    ) -> tuple[Evaluation, bool]:
        """Run a mutant with some content of memory; return also whether another one would have mattered."""
        trial = _Trial(self, linked, known.tensors[IMAGE], _Recall(self, known), memory=memory)
        original, output = known.original, linked.program.output
        rewired = original.output != linked.output in original.makers
        seen, shaken = Evaluation(), False
        for step in linked.steps:
            changed = trial.changes(step) or (rewired and output in step.results)
            if changed or not reuse:
                results = trial.launch(step)
                if changed:
                    twins = trial.compare(step, results)
                    seen.add(step, twins)
                    shaken = shaken or (memory is FIRST and step.watched and trial.shakes(step, results))
                    trial.rename(step, twins if reuse else [])
            trial.use(step)
        tensor = trial.find(output)
        trial.recall.end()
        return seen.end(tensor, differs=not self.device.same(tensor, known.output)), shaken

    def launch(
        self, step: Step, arguments: Sequence[Any], held: Sequence[bool] = (), memory: Memory = FIRST
    ) -> list[Any]:
        """Run a step and return its results: fresh tensors where ``held``, else maybe used before.

        Unless the original has run the kernel they are poisoned. Raises KernelError, OutOfBoundsError.
        """
        sound = step.kernel in self.whole
        results = []
        for position, spec in enumerate(step.specs):
            spare = self._spare.get(key_of(spec)) if sound and not (held and held[position]) else None
            results.append(spare.pop() if spare else self._allocate(spec, memory, poison=not sound))
        self._call(step, arguments, results, memory)
        return results

    def _allocate(self, spec: TensorSpec, memory: Memory, *, poison: bool) -> Any:
        if poison and memory is not FIRST:
            return self.device.upload(memory.unwritten(spec))
        return self.device.allocate(spec, poison=poison)

    def shakes(self, step: Step, arguments: Sequence[Any], results: Sequence[Any]) -> bool:
        """Tell whether a step's results depend on memory that it must not read, by running it once more."""
        others = []
        for spec in step.specs:
            used = self._others.get(key_of(spec))  # full of what was computed before: as good as any content
            others.append(used.pop() if used else self._allocate(spec, SECOND, poison=True))
        self._call(step, arguments, others, SECOND)
        same = all(map(self.device.same, results, others))
        for spec, other in zip(step.specs, others, strict=True):
            self._others.setdefault(key_of(spec), []).append(other)
        return not same

    def _call(self, step: Step, arguments: Sequence[Any], results: Sequence[Any], memory: Memory) -> None:
        monitor = None if step.monitor is None else self._monitor(len(step.monitor), memory)
        try:
            self.device.launch(step.built, arguments, results if monitor is None else [*results, monitor])
        except (TypeError, ValueError, InfrastructureError):
            raise  # the arguments do not fit, this engine's mistake; neither is the kernel's behaviour
        except Exception as error:
            raise KernelError(f"{step.name}: {type(error).__name__}: {error}") from error
        if step.monitor:
            flags = self.device.fetch(monitor)[WORDS:]
            if flags.any():
                del self._monitors[len(step.monitor), memory]
                self._heed(step.name, step.monitor, flags)

    def _monitor(self, accesses: int, memory: Memory) -> Any:
        """Return a monitor with no flag raised: kernels write nothing else to it."""
        key = accesses, memory
        if key not in self._monitors:
            self._monitors[key] = self.device.upload(memory.words(2 * accesses))
        return self._monitors[key]

    def _heed(self, name: str, accesses: Sequence[str], flags: NDArray[Any]) -> None:
        """Note an access that left its buffer; raise OutOfBoundsError for one that no guard answers."""
        left, beyond = flags[::2], flags[1::2]
        if beyond.any():
            raise OutOfBoundsError(f"{name}: {accesses[int(np.argmax(beyond))]}")
        self._left = self._left or f"{name}: {accesses[int(np.argmax(left))]}"

    def give_back(self, spec: TensorSpec, tensor: Any) -> None:
        """Take a tensor that nobody looks at any more, to use it again."""
        self._spare.setdefault(key_of(spec), []).append(tensor)

    def _upload(self, linked: LinkedProgram, image: NDArray[np.generic]) -> Any:
        return self.device.upload(image.reshape(linked.program.values[linked.program.input].shape))

    def _learn(self, known: OriginalValues, value: int, tensor: Any, *, keep: bool) -> None:
        number, spec = known.original.numbers[value], known.original.program.values[value]
        known.sketches.setdefault((key_of(spec), self.device.sketch(tensor)), []).append(number)
        if keep:
            known.tensors[number] = tensor


@attrs.define(eq=False)
class _Frame:
    """The tensors of one run, each given back after its last use.

    Tensors written by kernels that are known to write all of their results are used again, still warm in
    the processor's cache, by later calls and images.
    """

    evaluator: Evaluator
    linked: LinkedProgram
    image: Any
    memory: Memory = attrs.field(kw_only=True, default=FIRST)
    tensors: list[Any] = attrs.field(init=False)
    _left: list[int] = attrs.field(init=False)
    _own: set[int] = attrs.field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self.tensors, self._left = list(self.linked.constants), list(self.linked.uses)
        self.tensors[self.linked.program.input] = self.image

    def find(self, value: int) -> Any:
        """Return a value's tensor."""
        return self.tensors[value]

    def launch(self, step: Step, held: Sequence[bool] = ()) -> list[Any]:
        """Run a step on this frame's tensors; results that are ``held`` are the caller's to keep."""
        arguments = [self.find(value) for value in step.arguments]
        results = self.evaluator.launch(step, arguments, held, self.memory)
        sound = step.kernel in self.evaluator.whole
        for position, value in enumerate(step.results):
            self.tensors[value] = results[position]
            if sound and not (held and held[position]):
                self._own.add(value)
        return results

    def use(self, step: Step) -> None:
        """Note that a step, which was run or need not be, has no more use for its arguments."""
        for value in step.arguments:
            self._left[value] -= 1
            if not self._left[value] and value in self._own:
                self.evaluator.give_back(self.linked.program.values[value], self.tensors[value])


@attrs.define(eq=False)
class _Recall:
    """The original's values on one image: kept ones, and others computed again from them."""

    evaluator: Evaluator
    known: OriginalValues
    _again: dict[int, tuple[TensorSpec, Any]] = attrs.field(init=False, factory=dict)

    def find(self, number: int) -> Any:
        """Return the tensor of one of the original's numbers."""
        if number in self.known.tensors:
            return self.known.tensors[number]
        if number not in self._again:
            self._compute(self.known.original.makers[number])
        return self._again[number][1]

    def twin(self, spec: TensorSpec, tensor: Any) -> int | None:
        """Return the number of a value of the original's that equals this one bit for bit, or None."""
        device = self.evaluator.device
        alike = self.known.sketches.get((key_of(spec), device.sketch(tensor)), ())
        return next((number for number in alike if device.same(self.find(number), tensor)), None)

    def end(self) -> None:
        """Give back what was computed again."""
        for spec, tensor in self._again.values():
            self.evaluator.give_back(spec, tensor)

    def _compute(self, step: Step) -> None:
        results = self.evaluator.launch(step, [self._argument(value) for value in step.arguments])
        for value, spec, tensor in zip(step.results, step.specs, results, strict=True):
            self._again[self.known.original.numbers[value]] = spec, tensor

    def _argument(self, value: int) -> Any:
        original = self.known.original
        constant = original.constants[value]
        return self.find(original.numbers[value]) if constant is None else constant


@attrs.define(eq=False)
class _Trial(_Frame):
    """A mutant's tensors on one image, where they are not the original's."""

    recall: _Recall
    numbers: list[int] = attrs.field(init=False)
    """By value; a result that turns out equal to one of the original's goes by that one's number."""
    _renamed: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.numbers = list(self.linked.numbers)

    def find(self, value: int) -> Any:
        """Return a value's tensor: this run's, or the original's."""
        tensor = self.tensors[value]
        return self.recall.find(self.numbers[value]) if tensor is None else tensor

    def changes(self, step: Step) -> bool:
        """Tell whether the original has no value of some result's number."""
        if self._renamed:
            self._number(step, self.evaluator.linker.numbering)
        known = self.recall.known.original.makers
        return any(self.numbers[value] not in known for value in step.results)

    def shakes(self, step: Step, results: Sequence[Any]) -> bool:
        """Tell whether a step's results depend on memory that it must not read."""
        return self.evaluator.shakes(step, [self.find(value) for value in step.arguments], results)

    def compare(self, step: Step, results: Sequence[Any]) -> list[int | None]:
        """Return, per result, the number of the original's value that it equals, or None."""
        return [self.recall.twin(spec, each) for spec, each in zip(step.specs, results, strict=True)]

    def rename(self, step: Step, twins: Sequence[int | None]) -> None:
        """Let results go by the numbers of their twins from now on."""
        for value, twin in zip(step.results, twins, strict=False):
            if twin is not None:
                self.numbers[value], self._renamed = twin, True

    def _number(self, step: Step, numbering: Numbering) -> None:
        arguments = tuple([self.numbers[value] for value in step.arguments])
        found = numbering.results(step.kernel, arguments, len(step.results))
        for value, number in zip(step.results, found, strict=True):
            self.numbers[value] = number


def key_of(spec: TensorSpec) -> Key:
    """Return what tensors share that can stand in for each other."""
    return spec.shape, spec.dtype
