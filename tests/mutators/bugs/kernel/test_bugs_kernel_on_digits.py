"""Every fault of a kernel on every kernel of the bundled model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampling import sampled

from mutatenn import BuildError, Mutator, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.isolate import call_isolated
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx

MODULES = (
    *(f"bugs.kernel.{name}" for name in ("choice", "epilogue", "index", "memory", "padding")),
    *(f"bugs.kernel.{name}" for name in ("reduction", "rounding", "vector")),
    "published_code.loops",
)
OPERATORS: dict[str, type[Mutator]] = {
    operator.name: operator
    for module in MODULES
    for operator in import_module(f"mutatenn_mutators.{module}").mutatenn_mutators()
}
SITES = {
    "off-by-one-load": 68,
    "off-by-one-load-clamped": 68,
    "off-by-one-store": 48,
    "off-by-one-store-clamped": 48,
    "min-to-max": 0,
    "max-to-min": 9,  # 7 ReLUs, a pooling, the largest score in softmax
    "drop-lower-bound": 7,
    "drop-upper-bound": 0,
    "swap-select-branches": 5,
    "drop-padding-guard": 5,
    "replicate-padding": 5,
    "skip-padding-store": 5,
    "drop-reduction-init": 12,
    "repeat-reduction-init": 12,
    "skip-last-reduction-step": 21,
    "accumulate-float16": 10,
    "read-overwritten-buffer": 2,  # the residual connections
    "add-after-activation": 7,
    "round-division-up": 0,
    "truncate-division": 0,
    "round-to-floor": 0,
    "drop-vector-tail": 16,
    "increase-loop-extent": 172,
    "decrease-loop-extent": 120,
    "increase-loop-minimum": 172,
    "decrease-loop-minimum": 172,
}
WITHIN_BOUNDS = (
    "off-by-one-load-clamped",
    "max-to-min",
    "drop-lower-bound",
    "replicate-padding",
    "repeat-reduction-init",
    "skip-last-reduction-step",
    "accumulate-float16",
    "read-overwritten-buffer",
    "add-after-activation",
)
"""Faults after which a kernel reads nothing but what it was given or has written."""


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return Toolchain(Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx"))), Llvm(), Profile())


def test_the_table_is_complete() -> None:
    assert set(SITES) == {name for name in OPERATORS if OPERATORS[name].stage == "schedulable"}


@pytest.mark.parametrize("name", SITES)
def test_site_counts(name: str, toolchain: Toolchain) -> None:
    assert sum(len(OPERATORS[name]().sites(unit)) for unit in toolchain.units.values()) == SITES[name]


@pytest.mark.parametrize("name", sampled(OPERATORS, 2))
def test_each_kernel_is_changed_and_lowered(name: str, toolchain: Toolchain) -> None:
    operator = OPERATORS[name]()
    for unit in toolchain.units:
        before = toolchain.unit(unit, operator.stage)
        sites = len(operator.sites(before))
        for site in {0, sites // 2, sites - 1} & set(range(sites)):
            after = operator.apply(before, [site])
            assert not ir.ffi.structural_equal(after, before)
            assert ir.s_tir.analysis.verify_well_formed(after, assert_mode=False)
        if sites:
            program, changes = toolchain.derive(operator, operator.stage, {unit: [sites // 2]})
            assert [change.unit for change in changes] == [unit]
            assert set(program.kernels) != set(toolchain.program.kernels)


@pytest.mark.parametrize("name", OPERATORS)
def test_sites_change_together_as_one_after_another(name: str, toolchain: Toolchain) -> None:
    operator = OPERATORS[name]()
    units = [toolchain.unit(each, operator.stage) for each in toolchain.units]
    unit = max(units, key=lambda each: len(operator.sites(each)))
    sites = range(min(8, len(operator.sites(unit))))
    one_by_one = unit
    for site in reversed(sites):
        one_by_one = operator.apply(one_by_one, [site])
    assert ir.ffi.structural_equal(operator.apply(unit, sites), one_by_one)


@pytest.mark.parametrize("name", sampled(OPERATORS, 2))
def test_a_mutant_is_built(name: str, toolchain: Toolchain) -> None:
    operator, device = OPERATORS[name](), toolchain.backend.open()
    for unit in toolchain.units:
        sites = len(operator.sites(toolchain.unit(unit, operator.stage)))
        if not sites:
            continue
        program, _ = toolchain.derive(operator, operator.stage, {unit: [sites - 1]})
        (changed,) = set(program.kernels) - set(toolchain.program.kernels)
        try:
            assert callable(device.build(program.kernels[changed]))
        except BuildError:
            continue
        return


@pytest.mark.parametrize("name", WITHIN_BOUNDS)
def test_schedules_keep_the_fault(name: str, toolchain: Toolchain, run_kernel: Callable[..., Any]) -> None:
    operator = OPERATORS[name]()
    function = max(toolchain.units.values(), key=lambda unit: len(operator.sites(unit)))
    changed = operator.apply(function, [len(operator.sites(function)) // 2])
    rng = np.random.default_rng(0)
    shapes = [tuple(int(size) for size in param.ty.shape) for param in function.params[:-1]]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    original, plain, scheduled = (
        call_isolated(functools.partial(run_kernel, code, *arrays, schedule=schedule))
        for code, schedule in ((function, True), (changed, False), (changed, True))
    )
    np.testing.assert_array_equal(plain, scheduled)
    assert not np.array_equal(original, plain)
