"""Kernels from small graphs, run with and without their schedules on the same arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
from scratch import poison_scratch

from mutatenn import Kernel, TensorSpec, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.compiler.legalize import Legalizer
from mutatenn.compiler.profiles import Profile, lower_graph
from mutatenn_backends._cpu.processor import missing_features
from mutatenn_backends._schedules.cpu import RULES
from mutatenn_backends.llvm import Llvm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

PROCESSORS = (
    *("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "nehalem", "sandybridge", "haswell", "znver3"),
    *("skylake-avx512", "icelake-server", "znver4", "cortex-a72", "neoverse-n1"),
)


@attrs.define
class Bench:
    """One target of this machine: lowers graphs to kernels, runs kernels."""

    backend: Llvm
    target: Any = attrs.field(init=False)
    device: Any = attrs.field(init=False)
    built: int = 0

    def __attrs_post_init__(self) -> None:
        self.target = self.backend.target()
        self.device = self.backend.open()

    def kernels(self, graph: Any, profile: str = "default") -> list[Any]:
        module = lower_graph(graph, Profile(profile), self.target, Legalizer())
        return [f for _, f in module.functions_items() if isinstance(f, ir.tirx.PrimFunc)]

    def run(
        self, function: Any, *inputs: Sequence[NDArray[np.generic]], poison: bool = True
    ) -> list[NDArray[np.generic]]:
        """Return the results for some inputs in turn: the first in memory full of NaN, others over it.

        Scratch memory is full of NaN each time, unless it is not to be poisoned.
        """
        self.built += 1
        lowered = lower_kernel(function, self.target)
        lowered = poison_scratch(lowered) if poison else lowered
        built = self.device.build(Kernel(f"test{self.built}", "kernel", lowered))
        result = self.device.allocate(spec_of(function.params[-1]))
        found = []
        for arguments in inputs:
            self.device.launch(built, [self.device.upload(each) for each in arguments], [result])
            found.append(self.device.fetch(result))
        return found

    def rule_of(self, function: Any) -> tuple[str, Any]:
        """Return the name of the first rule that fits and what it made."""
        for rule in RULES:
            scheduled = rule(function, self.target)
            if scheduled is not None:
                return rule.__name__, scheduled
        return "", function

    def check(self, function: Any, *, poison: bool = True) -> str:
        """Assert that the scheduled kernel equals the unscheduled one bit for bit; return the rule's name.

        The unscheduled one has its scratch memory poisoned, the scheduled one if that is asked for.
        """
        name, scheduled = self.rule_of(function)
        inputs = [arguments_of(function, seed) for seed in (0, 1)]
        results = zip(self.run(scheduled, *inputs, poison=poison), self.run(function, *inputs), strict=True)
        for number, (result, expected) in enumerate(results):
            place = f"run {number} for {self.backend.mcpu}"
            np.testing.assert_array_equal(result, expected, place, strict=True)
            assert result.tobytes() == expected.tobytes(), f"signs of zeros in {place}"
        return name


def spec_of(param: Any) -> TensorSpec:
    return TensorSpec(param.name, tuple(int(size) for size in param.ty.shape), str(param.ty.dtype))


def arguments_of(function: Any, seed: int = 0) -> list[NDArray[np.generic]]:
    rng = np.random.default_rng(seed)
    specs = [spec_of(param) for param in function.params[:-1]]
    return [rng.standard_normal(spec.shape).astype(spec.dtype) for spec in specs]


def graph(body: Callable[..., Any], *shapes: Sequence[int]) -> Any:
    """Return a module whose ``main`` is a body of Relax expressions on float32 tensors."""
    variables = [
        ir.relax.Var(f"x{n}", ir.relax.TensorType(tuple(shape), "float32")) for n, shape in enumerate(shapes)
    ]
    builder = ir.relax.BlockBuilder()
    with builder.function("main", variables):
        with builder.dataflow():
            output = builder.emit_output(builder.normalize(body(*variables)))
        builder.emit_func_output(output)
    return builder.get()


@pytest.fixture(scope="session")
def native() -> Bench:
    return Bench(Llvm())


@pytest.fixture(scope="session")
def benches(native: Bench) -> dict[str, Bench]:
    """Return a bench for every level and some named processors whose code this machine can execute."""
    known = ir.tvm.target.codegen.llvm_get_cpu_archlist(ir.tvm.target.Target("llvm"))
    backends = [Llvm(mcpu=name) for name in PROCESSORS if name in known]
    return {"native": native} | {
        backend.mcpu: Bench(backend) for backend in backends if not missing_features(backend.target())
    }


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., Any]:
    return graph


@pytest.fixture(scope="session")
def make_arguments() -> Callable[..., list[NDArray[np.generic]]]:
    return arguments_of
