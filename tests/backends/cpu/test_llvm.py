"""The LLVM backend keeps the contract of a device, and makes small memory errors repeatable."""

from __future__ import annotations

import gc
import platform
from typing import Any

import numpy as np
import pytest

from mutatenn import Kernel, TensorSpec, ir
from mutatenn.api.memory import ALIGNMENT, GUARD, GUARD_BYTE
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.testing import check_device
from mutatenn_backends.llvm import Cpu, Llvm

COPY = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8,), "{dtype}"), B: T.Buffer((8,), "{dtype}")):
    for i in range(8):
        B[i] = A[i]
"""


@pytest.fixture(scope="module")
def device() -> Cpu:
    return Llvm().open()


def copy(backend: Llvm | None = None, dtype: str = "float32") -> Kernel:
    function = ir.script.from_source(COPY.format(dtype=dtype))
    return Kernel("0", "copy", lower_kernel(function, (backend or Llvm()).target()))


@pytest.mark.parametrize("backend", [Llvm(), Llvm(schedules=False)], ids=["scheduled", "unscheduled"])
def test_the_contract_of_devices_is_kept(backend: Llvm) -> None:
    check_device(backend)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_kernels_compute_with_floats_of_other_widths(device: Cpu, dtype: str) -> None:
    array, target = np.arange(8).astype(dtype), device.allocate(TensorSpec("t", (8,), dtype))
    device.launch(device.build(copy(dtype=dtype)), [device.upload(array)], [target])
    assert device.fetch(target).tobytes() == array.tobytes()


def address(tensor: Any) -> int:
    return int(tensor.array.ctypes.data)


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_tensors_are_aligned_between_guards(device: Cpu, size: int) -> None:
    for tensor in (device.allocate(TensorSpec("t", (size,))), device.upload(np.ones(size, np.float32))):
        assert address(tensor) % ALIGNMENT == 0
        whole = tensor.array
        while whole.base is not None:
            whole = whole.base
        start = address(tensor) - whole.ctypes.data
        before, after = whole[:start], whole[start + 4 * size :]
        assert min(len(before), len(after)) >= GUARD
        assert set(before.tolist()) == set(after.tolist()) == {GUARD_BYTE}


def test_tensors_without_extent_or_content_are_arguments_too(device: Cpu) -> None:
    source = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((), "float32"), E: T.Buffer((0,), "float32"), B: T.Buffer((), "float32")):
    B[()] = A[()] + T.float32(1)
"""
    kernel = Kernel("0", "scalar", lower_kernel(ir.script.from_source(source), device.target))
    result = device.allocate(TensorSpec("t", ()))
    arguments = [device.upload(np.array(2, np.float32)), device.upload(np.zeros(0, np.float32))]
    device.launch(device.build(kernel), arguments, [result])
    assert device.fetch(result) == 3


def test_a_built_kernel_outlives_everything_it_came_from(device: Cpu) -> None:
    built = Llvm().open().build(copy())
    gc.collect()
    target = device.allocate(TensorSpec("t", (8,)))
    device.launch(built, [device.upload(np.ones(8, np.float32))], [target])
    assert device.fetch(target).tolist() == [1] * 8


def test_options_reach_the_target() -> None:
    assert Llvm().target().attrs["mcpu"] == ir.tvm.target.codegen.llvm_get_system_cpu()
    target = Llvm(mcpu="x86-64", mattr=("+avx2", "+fma")).target()
    assert target.attrs["mcpu"] == "x86-64"
    assert list(target.attrs["mattr"]) == ["+avx2", "+fma"]
    assert target.kind.name == "llvm"


@pytest.mark.parametrize("options", [{"mcpu": "x86-64"}, {"mcpu": "x86-64", "mattr": ("+sse4.2",)}])
def test_a_baseline_processors_code_runs_here(options: dict[str, Any]) -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("another architecture")
    device = Llvm(**options).open()
    target = device.allocate(TensorSpec("t", (8,)))
    built = device.build(copy(Llvm(**options)))
    device.launch(built, [device.upload(np.ones(8, np.float32))], [target])
    assert device.fetch(target).tolist() == [1] * 8


def test_diagnose_tells_what_this_machine_has() -> None:
    works, detail = Llvm.diagnose()
    assert works
    assert detail.startswith("LLVM ")
    assert ir.tvm.target.codegen.llvm_get_system_cpu() in detail
    assert "\n" not in detail
