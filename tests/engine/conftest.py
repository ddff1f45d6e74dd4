"""A chain of four kernels that builds in no time, faults made up for it, and a way to run them."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import Executor, Job, KernelMutator, Limits, Model, Observation, Program, TensorSpec, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.evaluate import Evaluator
from mutatenn.engine.executors.fork import Fork
from mutatenn.engine.executors.worker import Worker
from mutatenn_backends.llvm import Llvm

Derive = Callable[[], Program]
LIMITS = Limits(time_floor=1.0, build_seconds=20.0)


@attrs.frozen(kw_only=True)
class Rewrite(KernelMutator):
    """Whatever a test wants to do to some nodes of a lowered kernel."""

    name = "rewrite"
    nodes: tuple[str, ...] = ("BufferStore",)
    change: Callable[[Any], Any]

    def rewrite(self, node: Any) -> Any:
        return self.change(node)

    @classmethod
    def examples(cls) -> list[Any]:
        return []


@attrs.frozen(eq=False)
class Bench:
    """A program's toolchain, images, and the original's outputs on them."""

    toolchain: Toolchain
    images: NDArray[np.float32]
    expected: NDArray[np.float32]
    executor: Executor = attrs.field(factory=Fork)

    @property
    def original(self) -> Program:
        return self.toolchain.program

    def fault(
        self, unit: str, change: Callable[[Any], Any], node: str = "BufferStore", site: int = -1
    ) -> Derive:
        """Return what derives a mutant: one node of a lowered kernel changed, by default its last store."""
        mutator = Rewrite(nodes=(node,), change=change)

        def derive() -> Program:
            count = len(mutator.sites(self.toolchain.unit(unit, "lowered")))
            return self.toolchain.derive(mutator, "lowered", {unit: [site % count]})[0]

        return derive

    def store(self, unit: str, change: Callable[[Any], Any]) -> Derive:
        """Return what derives a mutant: the value of a lowered kernel's last store changed."""
        return self.fault(
            unit, lambda node: ir.tirx.BufferStore(node.buffer, change(node.value), node.indices)
        )

    def job(self, faults: Mapping[str, Derive], **options: Any) -> Job:
        settings: dict[str, Any] = {
            "backend": self.toolchain.backend,
            "original": self.original,
            "images": self.images,
            "derive": lambda name: faults[name](),
            "expected": self.expected,
            "limits": LIMITS,
            "workers": 2,
        }
        return Job(**settings | options)

    def run(self, faults: Mapping[str, Derive], **options: Any) -> dict[str, Observation]:
        """Run mutants; return what was seen, by name, exactly once each."""
        seen = list(self.executor.run(self.job(faults, **options), list(faults)))
        assert sorted(each.mutant for each in seen) == sorted(faults)
        return {each.mutant: each for each in seen}


def measured(toolchain: Toolchain, images: NDArray[np.float32]) -> Bench:
    evaluator = Evaluator(toolchain.backend.open())
    linked = evaluator.link(toolchain.program)
    rows = [evaluator.device.fetch(evaluator.output(linked, image)).ravel() for image in images]
    return Bench(toolchain, images, np.stack(rows))


@pytest.fixture(scope="session")
def backend() -> Llvm:
    return Llvm(schedules=False)


@pytest.fixture(scope="session")
def chain(backend: Llvm) -> Bench:
    """Return multiply, relu, matmul, softmax on 5 images of 8 values, positive and negative."""
    relax = ir.relax
    rng = np.random.default_rng(4)
    builder = relax.BlockBuilder()
    image = relax.Var("image", relax.TensorType((1, 8), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            doubled = builder.emit(relax.op.multiply(image, relax.const(np.float32(2))))
            kept = builder.emit(relax.op.nn.relu(doubled))
            weight = relax.const(rng.normal(size=(8, 4)).astype(np.float32))
            logits = builder.emit(relax.op.matmul(kept, weight))
            scores = builder.emit_output(relax.op.nn.softmax(logits))
        builder.emit_func_output(scores)
    specs = TensorSpec("image", (1, 8)), TensorSpec("scores", (1, 4))
    model = Model("chain", Path("chain"), "0" * 64, builder.get(), *specs)
    images = rng.normal(size=(5, 8)).astype(np.float32)
    return measured(Toolchain(model, backend, Profile("basic")), images)


@pytest.fixture(params=[Fork, Worker], ids=["fork", "worker"])
def either(request: Any, chain: Bench) -> Bench:
    """Return the chain, run by each executor in turn."""
    return attrs.evolve(chain, executor=request.param())


@pytest.fixture(scope="session")
def digits(backend: Llvm) -> Bench:
    """Return the bundled classifier on one image of each of three digits."""
    from PIL import Image

    import mutatenn
    from mutatenn_frontends.onnx import Onnx

    data = Path(mutatenn.__file__).parent / "data"
    files = [next((data / "digits").glob(f"{digit}_*.png")) for digit in (0, 4, 7)]
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])[:, np.newaxis]
    images = ((pixels - 127.5) / 127.5).astype(np.float32)
    return measured(Toolchain(Onnx().load(data / "digits.onnx"), backend, Profile()), images)


@pytest.fixture(scope="session", autouse=True)
def quiet_crashes() -> Iterator[None]:
    """Keep pytest from printing where Python was whenever a child process crashes on purpose."""
    faulthandler.disable()
    yield
    faulthandler.enable(sys.__stderr__)


def children() -> set[int]:
    """Return the ids of this process's children, dead ones that nobody waited for among them."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended since
            found |= {int(child) for child in (task / "children").read_text().split()}
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Check that a test leaves no process, no zombie and no open file."""
    before = children(), len(os.listdir("/proc/self/fd"))
    yield
    assert (children(), len(os.listdir("/proc/self/fd"))) == before
