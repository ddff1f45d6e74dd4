"""Whole models on a remote processor compute what they compute here, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mutatenn
from mutatenn import Backend, Kernel, Program, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.evaluate import Evaluation, Evaluator
from mutatenn.engine.link import LinkedProgram
from mutatenn_backends._rpc.device import RemoteCpu
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators.paper.relu_to_sigmoid import ReluToSigmoid
from mutatenn_mutators.paper.store_epsilon import StoreMinusEpsilon

DATA = Path(mutatenn.__file__).parent / "data"
FILES = sorted((DATA / "digits").glob("*_00*.png"))
IMAGES = np.stack([(np.asarray(Image.open(file), np.float32) - 127.5) / 127.5 for file in FILES])[:, None]
BRANCH = """
@I.ir_module
class Module:
    @R.function
    def main(image: R.Tensor((1, 4), "float32")) -> R.Tensor((1, 4), "float32"):
        total = R.sum(image)
        positive = R.greater(total, R.const(0, "float32"))
        if positive:
            kept = R.nn.relu(image)
            scores = R.multiply(kept, R.const(2, "float32"))
        else:
            scores = R.negative(image)
        return scores
"""


def toolchain(backend: Backend) -> Toolchain:
    return Toolchain(Onnx().load(DATA / "digits.onnx"), backend, Profile())


@pytest.fixture(scope="module")
def here() -> Evaluator:
    return Evaluator(Llvm().open())


@pytest.fixture(scope="module")
def there(servers: Any, supervised: Any) -> Iterator[Evaluator]:
    device = servers.backend(supervised).open()
    yield Evaluator(device)
    device.close()


@pytest.fixture(scope="module")
def programs(servers: Any, supervised: Any) -> tuple[Toolchain, Toolchain]:
    return toolchain(Llvm()), toolchain(servers.backend(supervised))


def outputs(evaluator: Evaluator, linked: LinkedProgram) -> NDArray[Any]:
    return np.stack([evaluator.device.fetch(evaluator.output(linked, image)) for image in IMAGES])


def test_the_bundled_model_computes_the_same(
    here: Evaluator, there: Evaluator, programs: tuple[Toolchain, Toolchain]
) -> None:
    results = [
        outputs(evaluator, evaluator.link(each.program))
        for evaluator, each in zip((here, there), programs, strict=True)
    ]
    assert len(results[0]) == len(FILES) > 5
    assert np.ptp(results[0]) > 0.5
    assert results[0].tobytes() == results[1].tobytes()
    kernels = [each.program.kernels.keys() for each in programs]
    assert kernels[0] == kernels[1]  # what is built for one serves the other


def seen(evaluator: Evaluator, original: Program, mutant: Program) -> list[tuple[Any, ...]]:
    linked, changed = evaluator.link(original), evaluator.link(mutant)
    found = []
    for image in IMAGES:
        each: Evaluation = evaluator.mutant(changed, evaluator.original(linked, image))
        output = evaluator.device.fetch(each.output).tobytes()
        found.append((output, each.differs, each.executed, each.infected, each.kernels, each.masked))
    return found


@pytest.mark.parametrize("mutator", [ReluToSigmoid(), StoreMinusEpsilon()], ids=lambda each: each.name)
def test_mutants_compute_and_infect_the_same(
    here: Evaluator, there: Evaluator, programs: tuple[Toolchain, Toolchain], mutator: Any
) -> None:
    stories = []
    for evaluator, each in zip((here, there), programs, strict=True):
        if isinstance(mutator, ReluToSigmoid):
            mutant = each.derive(mutator, "graph", {"main": [1]})[0]
        else:
            unit = next(call.kernel.name for call in each.program.calls)
            mutant = each.derive(mutator, "lowered", {unit: [0]})[0]
        stories.append(seen(evaluator, each.program, mutant))
    assert stories[0] == stories[1]
    assert any(differs for _, differs, *_ in stories[0]) or any(infected for *_, infected, _, _ in stories[0])


def test_what_is_no_list_of_kernels_runs_on_the_virtual_machine_there(there: Evaluator) -> None:
    device = there.device
    assert isinstance(device, RemoteCpu)
    built = device.build(Kernel("b" * 32, "branch", ir.script.from_source(BRANCH)))
    for image, expected in (([1, -2, 3, 4], [2, 0, 6, 8]), ([-1, -2, 3, -4], [1, 2, -3, 4])):
        tensors = device.upload(np.array([image], np.float32)), device.upload(np.zeros((1, 4), np.float32))
        device.launch(built, tensors[:1], tensors[1:])
        assert device.fetch(tensors[1]).tolist() == [expected]
