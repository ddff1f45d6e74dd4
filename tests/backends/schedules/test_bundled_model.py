"""The bundled model and its mutants keep their results, bit for bit, under the schedules."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampling import sampled

from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.evaluate import Evaluator
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx

OPERATORS = [
    operator()
    for module in ("store_narrow", "store_epsilon", "comparison")
    for operator in import_module(f"mutatenn_mutators.paper.{module}").mutatenn_mutators()
]


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return Toolchain(Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx"))), Llvm(), Profile())


def test_the_model_keeps_its_outputs(toolchain: Toolchain) -> None:
    spec = toolchain.program.values[toolchain.program.input]
    images = np.random.default_rng(5).standard_normal((8, *spec.shape[1:])).astype(np.float32)
    outputs = []
    for schedules in (False, True):
        backend = Llvm(schedules=schedules)
        program = Toolchain(toolchain.model, backend, Profile()).program
        evaluator = Evaluator(backend.open())
        linked = evaluator.link(program)
        outputs.append([evaluator.device.fetch(evaluator.output(linked, image)) for image in images])
    np.testing.assert_array_equal(outputs[0], outputs[1], strict=True)


def test_every_kernel_gets_a_schedule(toolchain: Toolchain, native: Any) -> None:
    unscheduled = [name for name, kernel in toolchain.units.items() if not native.rule_of(kernel)[0]]
    assert [name for name in unscheduled if "softmax" not in name] == []


@pytest.mark.parametrize("operator", sampled(OPERATORS, 8), ids=lambda operator: operator.name)
def test_mutants_get_the_schedule_and_keep_their_results(
    toolchain: Toolchain, native: Any, operator: Any
) -> None:
    for name, kernel in toolchain.units.items():
        sites = len(operator.sites(kernel))
        if sites:  # the one in the middle is the reduction's, where there is one
            mutant = operator.apply(kernel, [sites // 2])
            assert native.check(mutant) == native.rule_of(kernel)[0], name
