"""Every built-in operator on an imported classifier: how many sites, and that the mutants compile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sampling import sampled

from mutatenn import Kernel, Mutator, ir
from mutatenn.compiler.kernels import build_kernel, lower_kernel
from mutatenn_mutators.paper import (
    add_to_subtract,
    comparison,
    insert_exp,
    insert_round,
    relu_to_sigmoid,
    store_epsilon,
    store_narrow,
    transpose_input,
)

GRAPH_MODULES = (relu_to_sigmoid, add_to_subtract, transpose_input, insert_exp, insert_round)
KERNEL_MODULES = (store_narrow, store_epsilon, comparison)
GRAPH = {operator.name: operator for module in GRAPH_MODULES for operator in module.mutatenn_mutators()}
KERNEL = {operator.name: operator for module in KERNEL_MODULES for operator in module.mutatenn_mutators()}

GRAPH_SITES = {
    "relu-to-sigmoid": 1,
    "add-to-subtract": 1,
    "subtract-bias": 2,
    "transpose-conv2d-data": 3,
    "transpose-conv2d-weight": 3,
    "transpose-dense-data": 0,
    "transpose-dense-weight": 0,
    "transpose-batch-norm-data": 1,
    "exp-conv2d-before": 3,
    "exp-conv2d-after": 3,
    "exp-dense-before": 1,
    "exp-dense-after": 1,
    "exp-batch-norm-before": 1,
    "exp-batch-norm-after": 1,
    "round-batch-norm-before": 1,
}
# The guards of padding (2 convolutions, 2 axes); scheduled, also the tails of vectors.
KERNEL_SITES = {
    "store-float16": 30,
    "store-int32": 30,
    "store-int16": 30,
    "store-int8": 30,
    "store-minus-epsilon": 37,
    "store-times-one-plus-epsilon": 31,
    "lt-to-le": 4,
    "lt-to-gt": 4,
    "le-to-lt": 4,
    "gt-to-ge": 0,
    "gt-to-lt": 0,
    "threshold-plus-half": 4,
    "change-threshold": 8,
}
STAGES = ("schedulable", "scheduled", "lowered")


def test_graph_site_counts(classifier: Any) -> None:
    assert {name: len(GRAPH[name]().sites(classifier)) for name in GRAPH} == GRAPH_SITES


def test_kernel_site_counts(stages: dict[str, list[Any]]) -> None:
    counts = {name: sum(len(KERNEL[name]().sites(f)) for f in stages["schedulable"]) for name in KERNEL}
    assert counts == KERNEL_SITES


def test_scheduling_adds_guards_and_vectors(stages: dict[str, list[Any]]) -> None:
    guards = [text for function in stages["lowered"] for text in KERNEL["lt-to-le"]().sites(function)]
    assert any(text.endswith("in if") for text in guards)
    stores = [text for function in stages["lowered"] for text in KERNEL["store-int8"]().sites(function)]
    assert any("T.Ramp" in text for text in stores)


@pytest.mark.parametrize("name", [name for name, sites in GRAPH_SITES.items() if sites])
def test_each_graph_mutant_differs(name: str, classifier: Any) -> None:
    mutants = [GRAPH[name]().apply(classifier, [site]) for site in range(GRAPH_SITES[name])]
    for mutant in mutants:
        assert not ir.ffi.structural_equal(mutant, classifier)
        ir.relax.analysis.well_formed(mutant)
    together = GRAPH[name]().apply(classifier, range(GRAPH_SITES[name]))
    assert ir.ffi.structural_equal(together, one_after_another(GRAPH[name](), classifier))


@pytest.mark.parametrize("name", sampled([name for name, sites in GRAPH_SITES.items() if sites], 3))
def test_graph_mutants_run(name: str, classifier: Any, original_scores: Any) -> None:
    scores = run(GRAPH[name]().apply(classifier, range(GRAPH_SITES[name])))
    assert scores.shape == original_scores.shape
    assert not np.array_equal(scores, original_scores)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", [name for name, sites in KERNEL_SITES.items() if sites])
def test_each_kernel_mutant_differs(name: str, stage: str, stages: dict[str, list[Any]]) -> None:
    operator = KERNEL[name]()
    for function in stages[stage]:
        sites = range(len(operator.sites(function)))
        for site in sites:
            assert not ir.ffi.structural_equal(operator.apply(function, [site]), function)
        together = operator.apply(function, sites)
        assert ir.ffi.structural_equal(together, one_after_another(operator, function))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", sampled([name for name, sites in KERNEL_SITES.items() if sites], 2))
def test_kernel_mutants_compile(name: str, stage: str, stages: dict[str, list[Any]], target: Any) -> None:
    operator = KERNEL[name]()
    function = max(stages[stage], key=lambda each: len(operator.sites(each)))
    mutant = operator.apply(function, range(len(operator.sites(function))))
    lowered = mutant if stage == "lowered" else lower_kernel(mutant, target)
    assert callable(build_kernel(Kernel("0", "mutant", lowered), target))


@pytest.mark.parametrize("name", ["store-float16", "store-int16", "store-int8"])
def test_narrowed_stores_run(name: str, fused: Any, original_scores: Any) -> None:
    operator = KERNEL[name]()
    functions = {
        symbol: operator.apply(function, range(len(operator.sites(function))))
        if isinstance(function, ir.tirx.PrimFunc)
        else function
        for symbol, function in fused.functions_items()
    }
    scores = run(ir.tvm.IRModule(functions))
    assert scores.shape == original_scores.shape
    assert not np.array_equal(scores, original_scores)


def one_after_another(operator: Mutator, unit: Any) -> Any:
    # Backwards, since a change may add or remove sites behind it.
    for site in reversed(range(len(operator.sites(unit)))):
        unit = operator.apply(unit, [site])
    return unit


@pytest.fixture(scope="module")
def original_scores(classifier: Any) -> Any:
    return run(classifier)


def run(module: Any) -> Any:
    image = np.random.default_rng(1).uniform(0.1, 1, (1, 3, 8, 8)).astype("float32")
    machine = ir.relax.VirtualMachine(ir.tvm.compile(module, target="llvm"), ir.tvm.cpu())
    return machine["main"](ir.tvm.runtime.tensor(image)).numpy()
