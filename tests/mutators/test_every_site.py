"""Every operator at every site of the bundled model: a sound change that builds and leaves nothing behind."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import BuildError, InfrastructureError, Mutator, ir
from mutatenn.api.values import Stage
from mutatenn.compiler.cache import VARIABLE, kernel_cache
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import GRAPH_UNIT, Toolchain
from mutatenn.engine.evaluate import Evaluator
from mutatenn.engine.isolate import isolated
from mutatenn.host.plugin_host import PluginHost
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx

KERNEL_STAGES: tuple[Stage, ...] = ("schedulable", "scheduled", "lowered")
IMAGES = np.random.default_rng(0).uniform(-1, 1, (20, 1, 8, 8)).astype(np.float32)


@attrs.frozen
class Place:
    """An operator at one site; at another stage than its own it is applied, but not built."""

    operator: type[Mutator]
    unit: str
    stage: Stage
    site: int

    def __str__(self) -> str:
        return f"{self.operator.name} at site {self.site} of {self.unit}, {self.stage}"


@attrs.frozen(eq=False)
class Bench:
    """The bundled model, its outputs, and where every operator can change it."""

    toolchain: Toolchain
    outputs: list[NDArray[np.generic]]
    places: list[Place]


@pytest.fixture(scope="module")
def bench() -> Bench:
    toolchain = lower()
    operators = PluginHost.installed().mutators().values()
    return Bench(toolchain, run(toolchain), [place for each in operators for place in find(toolchain, each)])


def lower() -> Toolchain:
    model = Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx")))
    return Toolchain(model, Llvm(), Profile())


def run(toolchain: Toolchain) -> list[NDArray[np.generic]]:
    evaluator = Evaluator(toolchain.backend.open())
    linked = evaluator.link(toolchain.program)
    return [evaluator.device.fetch(evaluator.output(linked, image)) for image in IMAGES]


def find(toolchain: Toolchain, operator: type[Mutator]) -> list[Place]:
    stages = (operator.stage,) if operator.level == "graph" else KERNEL_STAGES
    units = [GRAPH_UNIT] if operator.level == "graph" else list(toolchain.units)
    return [
        Place(operator, unit, stage, site)
        for stage in stages
        for unit in units
        for site in range(len(operator().sites(toolchain.unit(unit, stage))))
    ]


MODULES = sorted({operator.__module__ for operator in PluginHost.installed().mutators().values()})


@pytest.mark.soak
@pytest.mark.parametrize("module", MODULES)
def test_every_site(module: str, bench: Bench) -> None:
    """Half of a module's sites in each of two processes."""
    mine = [place for place in bench.places if place.operator.__module__ == module]
    rejected = trial(bench, mine[::2], mine[1::2])
    built = {place.operator for place in mine if place not in rejected}
    assert built == {place.operator for place in mine}, rejected


@pytest.mark.parametrize("size", [24, pytest.param(400, marks=pytest.mark.slow)])
def test_a_sample(bench: Bench, size: int) -> None:
    sample = random.Random(size).sample(bench.places, size)
    trial(bench, sample[::2], sample[1::2])


def test_places_are_at_every_stage(bench: Bench) -> None:
    assert {place.stage for place in bench.places} == {"graph", *KERNEL_STAGES}
    assert len(bench.places) > 2000


def trial(bench: Bench, *parts: Sequence[Place]) -> dict[Place, str]:
    """Try each part in a process of its own; return the places that the compiler rejects, and why.

    Where it takes a process along, the part is tried again in two halves.
    """
    rejected: dict[Place, str] = {}
    one, *others = parts
    with isolated(functools.partial(examine, bench, one)) as answer:
        if others:
            rejected |= trial(bench, *others)
        try:
            return rejected | {one[index]: why for index, why in answer().items()}
        except InfrastructureError as death:
            if len(one) == 1:
                return {**rejected, one[0]: str(death)}
    half = len(one) // 2
    return rejected | trial(bench, one[:half]) | trial(bench, one[half:])


def examine(bench: Bench, places: Sequence[Place]) -> dict[int, str]:
    """Apply and build, in this process; then build the original anew. Return what was rejected, by index."""
    device = bench.toolchain.backend.open()
    rejected = {}
    with unchanged(bench.toolchain, places):
        for index, place in enumerate(places):
            apply(bench.toolchain, place)
            try:
                build(bench.toolchain, place, device.build)
            except BuildError as error:
                rejected[index] = str(error)
    os.environ[VARIABLE] = "off"
    kernel_cache.cache_clear()
    again = lower()
    assert again.program.identity == bench.toolchain.program.identity
    np.testing.assert_array_equal(run(again), bench.outputs)
    return rejected


@contextmanager
def unchanged(toolchain: Toolchain, places: Sequence[Place]) -> Iterator[None]:
    """Check that units, and the sites in them, are afterwards what they were before."""
    units = {(place.unit, place.stage): toolchain.unit(place.unit, place.stage) for place in places}
    copies = {key: ir.tvm.ir.load_json(ir.tvm.ir.save_json(unit)) for key, unit in units.items()}
    keys = {(place.operator, place.unit, place.stage) for place in places}
    sites = {key: list(key[0]().sites(units[key[1:]])) for key in keys}
    yield
    for key, unit in units.items():
        assert ir.ffi.structural_equal(toolchain.unit(*key), copies[key]), key
        assert toolchain.unit(*key).same_as(unit), key
    for key, found in sites.items():
        assert list(key[0]().sites(copies[key[1:]])) == found, key


def apply(toolchain: Toolchain, place: Place) -> None:
    """Check that the change is one, and well-formed."""
    before, operator = toolchain.unit(place.unit, place.stage), place.operator()
    after = operator.apply(before, [place.site])
    assert not ir.ffi.structural_equal(after, before), place
    assert is_well_formed(after, place.stage), place


def is_well_formed(unit: Any, stage: Stage) -> bool:
    if stage == "graph":
        ir.relax.analysis.well_formed(unit)  # raises
        return True
    if not ir.tirx.analysis.verify_ssa(unit):
        return False
    check = ir.tirx.analysis if stage == "lowered" else ir.s_tir.analysis
    return bool(check.verify_well_formed(unit, assert_mode=False))


def build(toolchain: Toolchain, place: Place, build_kernel: Callable[[Any], Any]) -> None:
    """Build what a mutant has of its own, unless this process has built it already."""
    if place.stage != place.operator.stage:
        return
    program, changes = toolchain.derive(place.operator(), place.stage, {place.unit: [place.site]})
    assert [change.unit for change in changes] == [place.unit], place
    assert all(change.before != change.after for change in changes), place
    for digest, kernel in program.kernels.items():
        if digest not in toolchain.program.kernels and digest not in BUILT:
            assert callable(build_kernel(kernel)), place
            BUILT.add(digest)


BUILT: set[str] = set()
"""The digests of what this process has built; the kernel cache knows what others have."""
