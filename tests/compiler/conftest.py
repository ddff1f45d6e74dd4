"""The bundled classifier compiled with and without fusion, and a way to make up faults and graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mutatenn
from mutatenn import KernelMutator, Model, TensorSpec, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.evaluate import Evaluator
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx

DATA = Path(mutatenn.__file__).parent / "data"


@attrs.frozen(kw_only=True)
class Rewrite(KernelMutator):
    """Whatever a test wants to do to some nodes."""

    name = "rewrite"
    nodes: tuple[str, ...]
    change: Callable[[Any], Any]

    def rewrite(self, node: Any) -> Any:
        return self.change(node)

    @classmethod
    def examples(cls) -> list[Any]:
        return []


def store(change: Callable[[Any], Any]) -> Rewrite:
    """Return an operator that changes the stored value."""
    return Rewrite(
        nodes=("BufferStore",),
        change=lambda node: ir.tirx.BufferStore(node.buffer, change(node.value), node.indices),
    )


@pytest.fixture(scope="session")
def rewrite() -> type[Rewrite]:
    return Rewrite


@pytest.fixture(scope="session")
def plus_one() -> Rewrite:
    """Return an operator that adds 1 to a stored float32."""
    return store(lambda value: ir.tirx.Add(value, ir.tirx.FloatImm("float32", 1.0)))


@pytest.fixture(scope="session")
def nothing() -> Rewrite:
    """Return an operator that changes nothing."""
    return store(lambda value: value)


@pytest.fixture(scope="session")
def backend() -> Llvm:
    return Llvm(schedules=False)


@pytest.fixture(scope="session")
def model() -> Model:
    return Onnx().load(DATA / "digits.onnx")


@pytest.fixture(scope="session")
def images() -> NDArray[np.float32]:
    """Return one image of each digit, float32 ``[10, 1, 8, 8]``."""
    pixels = [np.asarray(Image.open(next((DATA / "digits").glob(f"{digit}_*.png")))) for digit in range(10)]
    return ((np.stack(pixels)[:, np.newaxis] - 127.5) / 127.5).astype(np.float32)


@pytest.fixture(scope="session")
def toolchain(model: Model, backend: Llvm) -> Toolchain:
    return Toolchain(model, backend, Profile("default"))


@pytest.fixture(scope="session")
def unfused(model: Model, backend: Llvm) -> Toolchain:
    return Toolchain(model, backend, Profile("basic"))


@pytest.fixture(scope="session")
def evaluator(backend: Llvm) -> Evaluator:
    """Return one evaluator for the session: what is built stays built."""
    return Evaluator(backend.open())


@pytest.fixture(scope="session")
def outputs(evaluator: Evaluator) -> Callable[..., NDArray[Any]]:
    """Return the outputs ``[images, classes]`` of a program."""

    def run(program: Any, images: NDArray[Any]) -> NDArray[Any]:
        linked = evaluator.link(program)
        rows = [evaluator.device.fetch(evaluator.output(linked, image)) for image in images]
        return np.stack(rows).reshape(len(images), -1)

    return run


@pytest.fixture(scope="session")
def classifier() -> Callable[[Any], Model]:
    """Make a model of a Relax module whose main takes and returns static float32 tensors."""

    def make(module: Any) -> Model:
        main = module["main"]
        shapes = [tuple(int(extent) for extent in ty.shape) for ty in (main.params[0].ty, main.ret_ty)]
        image, scores = map(TensorSpec, (main.params[0].name, "scores"), shapes)
        return Model("made-up", Path("made-up"), "0" * 64, module, image, scores)

    return make
