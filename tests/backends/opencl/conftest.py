"""Kernels on an OpenCL device, each time in a process of its own: drivers do not survive a fork."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import Device, InputError, Kernel, TensorSpec, call_isolated, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_backends._opencl.devices import choose_device
from mutatenn_backends.opencl import OpenCl

Array = NDArray[np.generic]


@attrs.frozen
class Bench:
    """One OpenCL device of this machine."""

    backend: OpenCl

    def call(self, work: Callable[[Device], Any]) -> Any:
        """Return what some work on the open device returns, done in a process of its own."""

        def with_device() -> Any:
            device = self.backend.open()
            result = work(device)
            device.close()
            return result

        return call_isolated(with_device)

    def kernel(self, source: str | Any) -> Kernel:
        """Return a kernel from the source of a PrimFunc that needs no schedule, or from such a PrimFunc."""
        function = ir.script.from_source(source) if isinstance(source, str) else source
        return Kernel("0", "test", lower_kernel(function, self.backend.target()))

    def run(self, kernel: Kernel, *arguments: Array) -> Array:
        """Return a kernel's result, which its last parameter describes."""
        return self.run_all([(kernel, arguments)])[0]

    def run_all(self, cases: Sequence[tuple[Kernel, Sequence[Array]]]) -> list[Array]:
        """Return the results of some kernels, run in one process."""

        def work(device: Device) -> list[Array]:
            return [compute(device, kernel, arguments) for kernel, arguments in cases]

        results: list[Array] = self.call(work)
        return results

    def run_twice(self, cases: Sequence[tuple[Kernel, Sequence[Sequence[Array]]]]) -> list[list[Array]]:
        """Return the results of some kernels for some arguments each, written over each other."""

        def work(device: Device) -> list[list[Array]]:
            return [compute_again(device, kernel, inputs) for kernel, inputs in cases]

        results: list[list[Array]] = self.call(work)
        return results


def compute_again(device: Device, kernel: Kernel, inputs: Sequence[Sequence[Array]]) -> list[Array]:
    built, result = device.build(kernel), device.allocate(spec_of(kernel.ir.params[-1]))
    found = []
    for arguments in inputs:
        device.launch(built, [device.upload(each) for each in arguments], [result])
        found.append(device.fetch(result))
    return found


def compute(device: Device, kernel: Kernel, arguments: Sequence[Array]) -> Array:
    result = device.allocate(spec_of(kernel.ir.params[-1]))
    device.launch(device.build(kernel), [device.upload(each) for each in arguments], [result])
    return device.fetch(result)


def spec_of(param: Any) -> TensorSpec:
    return TensorSpec(param.name, tuple(int(size) for size in param.ty.shape), str(param.ty.dtype))


def arguments_of(function: Any, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    specs = [spec_of(param) for param in function.params[:-1]]
    return [rng.standard_normal(spec.shape).astype(spec.dtype) for spec in specs]


@pytest.fixture(scope="session")
def bench() -> Bench:
    try:
        choose_device("", "")
    except InputError as reason:
        pytest.skip(str(reason))
    return Bench(OpenCl())


@pytest.fixture(scope="session")
def make_arguments() -> Callable[..., list[Array]]:
    return arguments_of
