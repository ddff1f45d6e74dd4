"""Evaluates programs value by value, each value named by the hash of what computes it.

A name is (kernel digest, names of the arguments), down to constants and the input image. A mutant therefore
finds everything that stands before its fault under a name the original's run already has, and computes only
the rest. When a value it computes equals one of the original's bit for bit, it takes over that name, and
everything after it is known again: the infection has died out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.backend import Device
    from mutatenn.api.program import Call, Constant, Program
    from mutatenn.api.values import TensorSpec

Name = bytes

IMAGE: Name = b"image"


class KernelError(Exception):
    """A kernel reported an error while it ran: the program's own behaviour, not the machinery's."""


@attrs.define(eq=False)
class Values:
    """The tensors of one image's run by name, and its output."""

    tensors: dict[Name, Any] = attrs.field(factory=dict)
    output: Any = None
    output_name: Name = b""
    _alike: dict[tuple[tuple[int, ...], str], list[Name]] = attrs.field(factory=dict)

    def add(self, name: Name, spec: TensorSpec, tensor: Any) -> None:
        """Keep a tensor."""
        self.tensors[name] = tensor
        self._alike.setdefault((spec.shape, spec.dtype), []).append(name)

    def twin(self, spec: TensorSpec, tensor: Any, device: Device) -> Name | None:
        """Return the name of a kept tensor that equals this one bit for bit, or None."""
        for name in self._alike.get((spec.shape, spec.dtype), ()):
            if device.same(self.tensors[name], tensor):
                return name
        return None


@attrs.define(eq=False)
class Evaluation:
    """A mutant's run on one image.

    ``executed`` counts the calls run whose name the original does not have, ``kernels`` are their kernels'
    digests. (A program that only takes another of the original's values as its output has no such call; there
    the one that gives this value runs and counts.) ``infected`` tells that a result of one of them equals no
    value of the original's, or that the output differs. ``differs`` compares the output with the original's
    bit for bit.
    """

    output: Any = None
    differs: bool = False
    executed: int = 0
    infected: bool = False
    kernels: set[str] = attrs.field(factory=set)


@attrs.define(eq=False)
class Evaluator:
    """Runs programs on one open device; built kernels and uploaded constants are shared by all of them."""

    device: Device
    _built: dict[str, Any] = attrs.field(init=False, factory=dict)
    constants: dict[Name, Any] = attrs.field(init=False, factory=dict)
    spare: dict[tuple[tuple[int, ...], str], list[Any]] = attrs.field(init=False, factory=dict)
    _whole: set[str] = attrs.field(init=False, factory=set)
    """Kernels that the original ran on poisoned memory; what they leave unwritten has shown by now."""

    def prepare(self, program: Program, *, backwards: bool = False) -> None:
        """Build the kernels and upload the constants that are not there yet; raises BuildError.

        Two processes that prepare one program from both ends meet in the middle, where the kernel cache has
        the rest.
        """
        kernels = list(program.kernels.items())
        for digest, kernel in reversed(kernels) if backwards else kernels:
            if digest not in self._built:
                self._built[digest] = self.device.build(kernel)
        for constant in program.constants.values():
            if _name(constant) not in self.constants:
                self.constants[_name(constant)] = self.device.upload(constant.value)

    def original(self, program: Program, image: NDArray[np.generic]) -> Values:
        """Run a prepared program on one image, ``[*input.shape[1:]]``, and keep all its values."""
        values, spec = Values(), program.values[program.input]
        values.add(IMAGE, spec, self.device.upload(image.reshape(spec.shape)))
        frame, names = _Frame(self, values.tensors), leaf_names(program)
        for call in program.calls:
            name_results(call, names)
            for value, tensor in self._launch(program, call, names, frame).items():
                values.add(names[value], program.values[value], tensor)
        self._whole.update(program.kernels)
        values.output_name = names[program.output]
        values.output = frame.find(values.output_name)
        return values

    def output(self, program: Program, image: NDArray[np.generic]) -> Any:
        """Run a prepared program on one image, ``[*input.shape[1:]]``, and return its output tensor alone."""
        upload = self.device.upload(image.reshape(program.values[program.input].shape))
        frame, names = _Frame(self, {IMAGE: upload}, count_uses(program)), leaf_names(program)
        for call in program.calls:
            name_results(call, names)
            frame.expect(call, names)
            self._launch(program, call, names, frame)
            frame.consume(call, names)
        self._whole.update(program.kernels)
        return frame.find(names[program.output])

    def mutant(self, program: Program, known: Values, *, reuse: bool = True) -> Evaluation:
        """Run a prepared program on the image whose original values are known.

        Without ``reuse`` every call runs, on nothing but the image and the constants; the known values then
        only tell what was infected.
        """
        names = leaf_names(program)
        frame = _Frame(self, known.tensors if reuse else {IMAGE: known.tensors[IMAGE]}, count_uses(program))
        rewired = known.output_name != output_name(program) in known.tensors
        seen = Evaluation()
        for call in program.calls:
            name_results(call, names)
            frame.expect(call, names)
            changed = any(names[value] not in known.tensors for value in call.results)
            changed |= rewired and program.output in call.results
            if changed or not reuse:
                results = self._launch(program, call, names, frame)
                if changed:
                    seen.executed += 1
                    seen.kernels.add(call.kernel.digest)
                    twins = self._twins(program, results, known)
                    seen.infected |= len(twins) < len(results)
                    frame.rename(names, twins if reuse else {})
            frame.consume(call, names)
        seen.output = frame.find(names[program.output])
        seen.differs = not self.device.same(seen.output, known.output)
        seen.infected |= seen.differs
        return seen

    def _launch(self, program: Program, call: Call, names: dict[int, Name], frame: _Frame) -> dict[int, Any]:
        arguments = [frame.find(names[value]) for value in call.arguments]
        sound = call.kernel.digest in self._whole
        results = {
            value: frame.allocate(names[value], program.values[value], sound=sound) for value in call.results
        }
        try:
            self.device.launch(self._built[call.kernel.digest], [*arguments, *results.values()])
        except (TypeError, ValueError):
            raise  # the arguments do not fit the kernel: this engine's mistake, not the kernel's behaviour
        except Exception as error:
            raise KernelError(f"{call.kernel.name}: {type(error).__name__}: {error}") from error
        return results

    def _twins(self, program: Program, results: dict[int, Any], known: Values) -> dict[int, Name]:
        """Return the results that equal a value of the original's bit for bit, with that value's name."""
        twins = {
            value: known.twin(program.values[value], tensor, self.device) for value, tensor in results.items()
        }
        return {value: name for value, name in twins.items() if name is not None}


@attrs.define(eq=False)
class _Frame:
    """The tensors of one run: what is ``known`` before it, and its own, given back after their last use.

    Own tensors written by kernels that are known to write all of their results are used again, still warm in
    the processor's cache, by later calls and images.
    """

    evaluator: Evaluator
    known: dict[Name, Any]
    uses: Counter[int] = attrs.field(factory=Counter)
    """How often each value is going to be used; empty where all tensors are kept by the caller."""
    _own: dict[Name, Any] = attrs.field(init=False, factory=dict)
    _reusable: dict[Name, TensorSpec] = attrs.field(init=False, factory=dict)
    _waiting: Counter[Name] = attrs.field(init=False, factory=Counter)

    def find(self, name: Name) -> Any:
        """Return a tensor by name: an own one, a known one, or a constant."""
        sources = (self._own, self.known, self.evaluator.constants)
        return next(source[name] for source in sources if name in source)

    def allocate(self, name: Name, spec: TensorSpec, *, sound: bool) -> Any:
        """Return a tensor for a result: poisoned, unless its kernel is ``sound``."""
        spare = self.evaluator.spare.get((spec.shape, spec.dtype)) if sound and self.uses else None
        tensor = spare.pop() if spare else self.evaluator.device.allocate(spec, poison=not sound)
        if self.uses:
            self._own[name] = tensor
            if sound:
                self._reusable[name] = spec
        return tensor

    def expect(self, call: Call, names: dict[int, Name]) -> None:
        """Note how often a call's results are going to be used."""
        for value in call.results:
            self._waiting[names[value]] += self.uses[value]

    def rename(self, names: dict[int, Name], twins: dict[int, Name]) -> None:
        """Let results go by the names of their twins from now on."""
        for value, twin in twins.items():
            self._waiting[twin] += self.uses[value]
            self._waiting[names[value]] -= self.uses[value]
            self._give_back(names[value])
            names[value] = twin

    def consume(self, call: Call, names: dict[int, Name]) -> None:
        """Note that a call has used its arguments."""
        for value in call.arguments:
            self._waiting[names[value]] -= 1
            self._give_back(names[value])

    def _give_back(self, name: Name) -> None:
        if self._waiting[name] <= 0 and name in self._own:
            tensor, spec = self._own.pop(name), self._reusable.pop(name, None)
            if spec is not None:
                self.evaluator.spare.setdefault((spec.shape, spec.dtype), []).append(tensor)


def count_uses(program: Program) -> Counter[int]:
    """Return how many calls use each value; the output counts as used once more, at the end."""
    uses = Counter(value for call in program.calls for value in call.arguments)
    uses[program.output] += 1
    return uses


def leaf_names(program: Program) -> dict[int, Name]:
    """Return the names of the values that no call computes: the image and the constants."""
    return {program.input: IMAGE} | {value: _name(c) for value, c in program.constants.items()}


def name_results(call: Call, names: dict[int, Name]) -> None:
    """Name a call's results after its kernel and the names of its arguments."""
    text = b" ".join([call.kernel.digest.encode(), *(names[value] for value in call.arguments)])
    digest = hashlib.blake2b(text, digest_size=16).hexdigest()
    for index, value in enumerate(call.results):
        names[value] = f"{digest}.{index}".encode()


def output_name(program: Program) -> Name:
    """Return the name of the output, which says all that the output depends on."""
    names = leaf_names(program)
    for call in program.calls:
        name_results(call, names)
    return names[program.output]


def _name(constant: Constant) -> Name:
    return f"constant {constant.digest}".encode()
