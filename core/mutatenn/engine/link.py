"""Links programs for one device: kernels built, constants uploaded, values numbered by what computes them.

Value numbering: a value's number stands for (kernel, numbers of the arguments), down to constants and the
input image, so values of equal numbers are equal, in whatever programs they stand.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.errors import BuildError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutatenn.api.backend import Device
    from mutatenn.api.program import Call, Constant, Kernel, Program
    from mutatenn.api.values import TensorSpec

IMAGE = 0
"""The number of the input image."""


@attrs.define(eq=False)
class Numbering:
    """Gives out value numbers."""

    _numbers: dict[object, int] = attrs.field(init=False, factory=dict)
    _next: int = attrs.field(init=False, default=IMAGE + 1)

    def constant(self, constant: Constant) -> int:
        """Return a constant's number."""
        return self._number(constant.digest, 1)

    def results(self, kernel: str, arguments: tuple[int, ...], count: int) -> range:
        """Return the numbers of what a kernel, by digest, computes of numbered arguments."""
        first = self._number((kernel, arguments), count)
        return range(first, first + count)

    def program(self, program: Program) -> list[int]:
        """Return the number of every value of a program."""
        numbers = [IMAGE] * len(program.values)
        for value, constant in program.constants.items():
            numbers[value] = self.constant(constant)
        for call in program.calls:
            arguments = tuple(numbers[value] for value in call.arguments)
            found = self.results(call.kernel.digest, arguments, len(call.results))
            for value, number in zip(call.results, found, strict=True):
                numbers[value] = number
        return numbers

    def _number(self, key: object, count: int) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._next
            self._next += count
        return number


@attrs.frozen(eq=False)
class Step:
    """A call whose kernel is built; ``watched`` and ``monitor`` are the kernel's."""

    kernel: str
    name: str
    built: Any
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    specs: tuple[TensorSpec, ...]
    watched: bool = False
    monitor: tuple[str, ...] | None = None


@attrs.frozen(eq=False)
class LinkedProgram:
    """A program ready to run.

    By value: ``numbers``, ``uses`` (how many calls use it; the output is used once more, at the end) and
    ``constants`` (their tensors, None for all else). ``makers`` are the steps by their results' numbers.
    """

    program: Program
    steps: tuple[Step, ...]
    numbers: tuple[int, ...]
    uses: tuple[int, ...]
    constants: tuple[Any, ...]
    makers: dict[int, Step]

    @property
    def output(self) -> int:
        """The output's number."""
        return self.numbers[self.program.output]


@attrs.define(eq=False)
class Linker:
    """Links programs on one open device; built kernels and uploaded constants are shared by all of them."""

    device: Device
    numbering: Numbering = attrs.field(init=False, factory=Numbering)
    _built: dict[str, Any] = attrs.field(init=False, factory=dict)
    _uploaded: dict[int, Any] = attrs.field(init=False, factory=dict)

    def link(self, program: Program, *, backwards: bool = False) -> LinkedProgram:
        """Build the kernels and upload the constants that are not there yet; raises BuildError.

        Two processes that link one program from both ends meet in the middle, where the kernel cache has
        the rest.
        """
        kernels = list(program.kernels.items())
        for digest, kernel in reversed(kernels) if backwards else kernels:
            if digest not in self._built:
                self._built[digest] = self._build(kernel)
        steps = tuple(self._step(program, call) for call in program.calls)
        numbers = tuple(self.numbering.program(program))
        makers = {numbers[value]: step for step in reversed(steps) for value in step.results}
        return LinkedProgram(program, steps, numbers, _uses(program), tuple(self._constants(program)), makers)

    def _build(self, kernel: Kernel) -> Any:
        """Build a kernel; raises InfrastructureError where only its checks keep it from being built."""
        try:
            return self.device.build(kernel)
        except BuildError as error:
            if kernel.plain is None:
                raise
            self.device.build(kernel.plain)
            raise InfrastructureError(
                f"{kernel.name} cannot be built with its checks ({error}); please report this, and set "
                "checks.bounds = false meanwhile"
            ) from error

    def forget(self, but: LinkedProgram) -> None:
        """Drop kernels and constants that one program does not use."""
        used = {
            number
            for number, constant in zip(but.numbers, but.constants, strict=True)
            if constant is not None
        }
        self._built = {key: self._built[key] for key in but.program.kernels}
        self._uploaded = {number: self._uploaded[number] for number in used}

    def _step(self, program: Program, call: Call) -> Step:
        kernel = call.kernel
        specs = tuple(program.values[value] for value in call.results)
        return Step(
            kernel.digest,
            kernel.name,
            self._built[kernel.digest],
            call.arguments,
            call.results,
            specs,
            kernel.watched,
            kernel.monitor,
        )

    def _constants(self, program: Program) -> Iterable[Any]:
        for value in range(len(program.values)):
            constant = program.constants.get(value)
            yield None if constant is None else self._upload(constant)

    def _upload(self, constant: Constant) -> Any:
        number = self.numbering.constant(constant)
        if number not in self._uploaded:
            self._uploaded[number] = self.device.upload(constant.value)
        return self._uploaded[number]


def _uses(program: Program) -> tuple[int, ...]:
    counted = Counter(value for call in program.calls for value in call.arguments)
    counted[program.output] += 1
    return tuple(counted[value] for value in range(len(program.values)))
