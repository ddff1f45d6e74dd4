"""Compiles random networks in many ways, and compares what comes out with onnxruntime and with each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import onnx
import onnx.printer
from numpy.typing import NDArray

from mutatenn import BuildError, InputError, Kernel, Model, Program, ir
from mutatenn.compiler.kernels import compile_kernels, kernel_symbol
from mutatenn.compiler.profiles import PROFILES, Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.evaluate import Evaluator, KernelError
from mutatenn_backends.llvm import Cpu, Llvm
from mutatenn_frontends.onnx import Onnx
from random_nets import draw

IMAGES = 3
TOLERANCE = 2e-5
"""Of the spread of all scores; rounding makes less than a millionth."""

MODULE = 32
"""Kernels that are compiled into one module."""

SHOWN = 16
"""Elements of a constant that is printed."""

Cell = tuple[str, bool]
"""A profile, with or without schedules."""


class Together(Cpu):
    """This machine's processor; kernels prepared together are compiled into one module, in half the time."""

    def __init__(self) -> None:
        super().__init__(Llvm().target())
        self._built: dict[str, Any] = {}

    def prepare(self, programs: Iterable[Program]) -> None:
        """Compile the kernels that are not there yet, without the checks of their arguments."""
        kernels = {digest: kernel for each in programs for digest, kernel in each.kernels.items()}
        new = {kernel_symbol(each): each for digest, each in kernels.items() if digest not in self._built}
        for some in (dict(part) for part in chunks(list(new.items()), MODULE)):
            try:
                with ir.tvm.ir.transform.PassContext(config={"tirx.disable_assert": True}):
                    library = compile_kernels(some, self.target)
            except BuildError:
                continue  # the one to blame fails again when it is built alone
            self._built |= {each.digest: library[symbol] for symbol, each in some.items()}

    def build(self, kernel: Kernel) -> Any:
        """Return a prepared kernel, or build this one as any other backend does."""
        return self._built.get(kernel.digest) or super().build(kernel)


def chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


@attrs.define(eq=False)
class Case:
    """A seed's network, images for it, the scores of onnxruntime, and what is wrong with ours.

    ``toolchains`` stand by whether they schedule; each has compiled every profile.
    """

    seed: int
    proto: Any
    images: NDArray[np.float32]
    model: Model | None = None
    expected: NDArray[np.float32] | None = None
    toolchains: dict[bool, Toolchain] = attrs.field(factory=dict)
    programs: dict[Cell, Program] = attrs.field(factory=dict)
    faults: list[str] = attrs.field(factory=list)

    def __str__(self) -> str:
        graph = onnx.GraphProto()
        graph.CopyFrom(self.proto.graph)
        large = [each for each in graph.initializer if math.prod(each.dims) > SHOWN]
        for each in large:
            graph.initializer.remove(each)
        sizes = ", ".join(f"{each.name} {list(each.dims)}" for each in large)
        lines = [f"seed {self.seed}:", *self.faults, onnx.printer.to_text(graph), f"and constants {sizes}"]
        return "\n  ".join(lines)


def check(
    seeds: Sequence[int], folder: Path, device: Together, profiles: Iterable[str] = PROFILES
) -> list[Case]:
    """Return the networks of seeds, compiled in every way and compared."""
    cases = [make(seed, folder) for seed in seeds]
    for case in cases:
        for schedules in (True, False) if case.model else ():
            compile_profiles(case, schedules, profiles)
    device.prepare(program for case in cases for program in case.programs.values())
    for case in cases:
        compare(case, device)
    return cases


def make(seed: int, folder: Path) -> Case:
    """Draw and import a network, and run onnxruntime on it."""
    proto = draw(seed)
    shape = [size.dim_value for size in proto.graph.input[0].type.tensor_type.shape.dim]
    images = np.random.default_rng([seed]).uniform(-1, 1, (IMAGES, *shape[1:])).astype(np.float32)
    case = Case(seed, proto, images)
    path = folder / f"net{seed}.onnx"
    path.write_bytes(proto.SerializeToString())
    try:
        case.model = Onnx().load(path)
    except InputError as error:
        case.faults.append(f"not imported: {error}")
        return case
    case.expected = Onnx().reference(case.model, images)
    return case


def compile_profiles(case: Case, schedules: bool, profiles: Iterable[str]) -> None:
    """Compile ``default``, then the profiles, with one toolchain: its memories must not mix them up."""
    try:
        toolchain = Toolchain(case.model, Llvm(schedules=schedules), Profile())
    except BuildError as error:
        case.faults.append(f"{name(('default', schedules))}: not compiled: {error}")
        return
    case.toolchains[schedules] = toolchain
    for profile in profiles:
        cell = profile, schedules
        toolchain.profile = Profile(profile)
        try:
            program = toolchain.program if profile == "default" else toolchain.compile(case.model.module)
        except BuildError as error:
            case.faults.append(f"{name(cell)}: not compiled: {error}")
            continue
        if is_list(program):
            case.programs[cell] = program
        else:
            case.faults.append(f"{name(cell)}: no list of kernels")
    toolchain.profile = Profile()


def is_list(program: Program) -> bool:
    return not any(isinstance(kernel.ir, ir.tvm.IRModule) for kernel in program.kernels.values())


def name(cell: Cell) -> str:
    return f"{cell[0]} {'with' if cell[1] else 'without'} schedules"


def compare(case: Case, device: Cpu) -> None:
    """Note every cell with other scores than onnxruntime's, or other bits with schedules than without."""
    scores = {cell: found for cell in case.programs if (found := score(case, cell, device)) is not None}
    for cell, found in scores.items():
        worst = abs(found - case.expected).max() / np.ptp(case.expected)
        if not worst <= TOLERANCE:
            case.faults.append(f"{name(cell)}: differs from onnxruntime by {worst:.2g} of the spread")
    for profile in PROFILES:
        one, other = scores.get((profile, True)), scores.get((profile, False))
        if one is not None and other is not None and one.tobytes() != other.tobytes():
            case.faults.append(f"{profile}: schedules change it by {abs(one - other).max():.2g}")


def score(case: Case, cell: Cell, device: Cpu) -> NDArray[np.float32] | None:
    """Return the scores of a cell, or None, noted, if it cannot be built or run."""
    try:
        return run(device, case.programs[cell], case.images)
    except (BuildError, KernelError) as error:
        case.faults.append(f"{name(cell)}: not run: {error}")
        return None


def run(device: Cpu, program: Program, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores of images one after the other, the first on poisoned memory, the rest on used."""
    evaluator = Evaluator(device)
    linked = evaluator.link(program)
    return np.stack([device.fetch(evaluator.output(linked, image)).ravel() for image in images])
