"""Derives mutants of random networks, and runs them with and without what is known of the original."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import attrs
import numpy as np

from mutatenn import BuildError, Model, Mutator, Program
from mutatenn.compiler.toolchain import GRAPH_UNIT, Toolchain
from mutatenn.engine.evaluate import Evaluator, KernelError
from mutatenn.host.plugin_host import PluginHost
from mutatenn_backends.llvm import Cpu
from random_nets.check import Case, Together, is_list, run

TRIES = 8
WAYS: tuple[tuple[str, set[int] | None, bool], ...] = (
    ("with all of the original's values", None, True),
    ("with few of the original's values", set(), True),
    ("without reuse", None, False),
)


@attrs.frozen
class Place:
    """An operator at one site of a unit."""

    operator: type[Mutator]
    unit: str
    site: int

    def __str__(self) -> str:
        return f"{self.operator.name} at site {self.site} of {self.unit}"

    def derive(self, toolchain: Toolchain) -> Program:
        return toolchain.derive(self.operator(), self.operator.stage, {self.unit: [self.site]})[0]

    def derive_anew(self, model: Model, toolchain: Toolchain) -> Program:
        """Return the program by a toolchain like this one that has compiled nothing else."""
        like = functools.partial(Toolchain, backend=toolchain.backend, profile=toolchain.profile)
        if self.operator.level == "graph":
            module = self.operator().apply(model.module, [self.site])
            return like(attrs.evolve(model, module=module)).program
        return self.derive(like(model))


@functools.cache
def operators(level: str) -> list[type[Mutator]]:
    return [each for each in PluginHost.installed().mutators().values() if each.level == level]


def places(toolchain: Toolchain, level: str, rng: np.random.Generator) -> Iterator[Place]:
    """Draw a few places at random."""
    units = [GRAPH_UNIT] if level == "graph" else list(toolchain.units)
    for _ in range(TRIES):
        operator, unit = rng.choice(operators(level)), units[rng.integers(len(units))]
        sites = len(operator().sites(toolchain.unit(unit, operator.stage)))
        if sites:
            yield Place(operator, unit, int(rng.integers(sites)))


@attrs.frozen(eq=False)
class Mutant:
    """A mutant as made by a toolchain that has compiled a lot, and by a new one."""

    case: Case
    place: Place
    original: Program
    program: Program
    afresh: Program


def check_mutants(cases: Iterable[Case], device: Together) -> int:
    """Note every mutant that does not come out the same in all ways; return how many there were.

    Every other network is mutated with schedules.
    """
    toolchains = [(case, case.toolchains.get(case.seed % 2 > 0)) for case in cases]
    mutants = [each for case, toolchain in toolchains if toolchain for each in derive(case, toolchain)]
    device.prepare(each.afresh for each in mutants if each.place.operator.level == "graph")
    for each in mutants:
        each.case.faults += [f"{each.place}: {fault}" for fault in differences(each, device)]
    return len(mutants)


def derive(case: Case, toolchain: Toolchain) -> Iterator[Mutant]:
    """Make the first graph mutant and the first kernel mutant that builds and is no equivalent."""
    if toolchain.compile(case.model.module).identity != toolchain.program.identity:
        case.faults.append("another program when compiled again")
    for level in ("graph", "kernel"):
        for place in places(toolchain, level, np.random.default_rng([case.seed, len(level)])):
            try:
                program = place.derive(toolchain)
            except BuildError:
                continue
            if is_list(program) and program.identity != toolchain.program.identity:
                afresh = place.derive_anew(case.model, toolchain)
                yield Mutant(case, place, toolchain.program, program, afresh)
                break


def differences(mutant: Mutant, device: Cpu) -> Iterator[str]:
    if mutant.afresh.identity != mutant.program.identity:
        yield "another program where nothing was compiled before"
    images = mutant.case.images
    try:
        # one by one: what a mutant leaves unwritten must be poison, not what it wrote for the image before
        expected = np.concatenate([run(device, mutant.afresh, image[np.newaxis]) for image in images])
    except KernelError:
        return
    evaluator = Evaluator(device)
    original, linked = evaluator.link(mutant.original), evaluator.link(mutant.program)
    for image, scores in zip(images, expected, strict=True):
        for way, keep, reuse in WAYS:
            known = evaluator.original(original, image, keep)
            seen = evaluator.mutant(linked, known, reuse=reuse)
            if device.fetch(seen.output).tobytes() != scores.tobytes():
                yield f"other scores {way}"
            if seen.differs == (device.fetch(known.output).tobytes() == scores.tobytes()):
                yield f"differs is {seen.differs} {way}"
