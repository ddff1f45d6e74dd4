"""The LLVM backend keeps the contract of a device, and makes small memory errors repeatable."""

from __future__ import annotations

import gc
import platform
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import BuildError, Kernel, TensorSpec, ir
from mutatenn.api.memory import ALIGNMENT, GUARD, GUARD_BYTE
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_backends.llvm import Cpu, Llvm

DTYPES = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"]
SHAPES = [(), (1,), (0, 3), (3, 5), (1, 2, 3, 4)]
# B[i] = A[i + shift]; stays inside the buffers for shift 0 only.
SHIFT = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8,), "{dtype}"), B: T.Buffer((8,), "{dtype}")):
    for i in range(8):
        B[i] = A[i + {shift}]
"""


@pytest.fixture(scope="module")
def device() -> Cpu:
    return Llvm().open()


def shift(by: int, dtype: str = "float32", backend: Llvm | None = None) -> Kernel:
    function = ir.script.from_source(SHIFT.format(shift=by, dtype=dtype))
    return Kernel("0", "shift", lower_kernel(function, (backend or Llvm()).target()))


def address(tensor: Any) -> int:
    return int(tensor.array.ctypes.data)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_new_tensor_is_poisoned(device: Cpu, dtype: str, shape: tuple[int, ...]) -> None:
    content = device.fetch(device.allocate(TensorSpec("t", shape, dtype)))
    assert (content.shape, content.dtype) == (shape, np.dtype(dtype))
    if content.dtype.kind == "f":
        assert np.isnan(content).all()
    else:
        assert (content == (True if dtype == "bool" else np.iinfo(dtype).max)).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_goes_up_comes_down(device: Cpu, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    tensor = device.upload(array)
    content = device.fetch(tensor)
    assert (content.shape, content.dtype) == (shape, np.dtype(dtype))
    assert content.tobytes() == array.tobytes()
    assert device.same(tensor, device.upload(array))


def test_up_and_down_are_copies(device: Cpu) -> None:
    array = np.zeros(4, np.float32)
    tensor = device.upload(array)
    array[:] = 1
    down = device.fetch(tensor)
    down[:] = 2
    assert device.fetch(tensor).tolist() == [0, 0, 0, 0]


def test_arrays_of_any_layout_go_up(device: Cpu) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for view in (array.transpose(2, 0, 1), array[:, ::2, ::-1], np.broadcast_to(array[:, :1], (2, 3, 4))):
        np.testing.assert_array_equal(device.fetch(device.upload(view)), view)


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


def test_kernels_read_and_write_the_tensors(device: Cpu) -> None:
    source, target = device.upload(np.arange(8, dtype=np.float32)), device.allocate(TensorSpec("t", (8,)))
    device.launch(device.build(shift(0)), [source, target])
    assert device.fetch(target).tolist() == list(range(8))
    assert device.same(source, target)


@pytest.mark.parametrize("by", [3, -3, 900, -900])
def test_a_read_out_of_bounds_sees_the_guard(device: Cpu, by: int) -> None:
    source, target = device.upload(np.arange(8, dtype=np.float32)), device.allocate(TensorSpec("t", (8,)))
    device.launch(device.build(shift(by)), [source, target])
    beyond = np.frombuffer(bytes([GUARD_BYTE] * 4), np.float32)[0]
    expected = [np.float32(i + by) if 0 <= i + by < 8 else beyond for i in range(8)]
    assert np.isfinite(beyond)
    assert device.fetch(target).tolist() == expected


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16"])
def test_kernels_of_other_types_run(device: Cpu, dtype: str) -> None:
    array = np.array([0, 1, 1, 0, 1, 0, 0, 1]).astype(dtype)
    target = device.allocate(TensorSpec("t", (8,), dtype))
    device.launch(device.build(shift(0, dtype)), [device.upload(array), target])
    assert device.fetch(target).tobytes() == array.tobytes()


def test_tensors_without_extent_or_content_are_arguments_too(device: Cpu) -> None:
    source = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((), "float32"), E: T.Buffer((0,), "float32"), B: T.Buffer((), "float32")):
    B[()] = A[()] + T.float32(1)
"""
    kernel = Kernel("0", "scalar", lower_kernel(ir.script.from_source(source), device.target))
    result = device.allocate(TensorSpec("t", ()))
    arguments = [device.upload(np.array(2, np.float32)), device.upload(np.zeros(0, np.float32))]
    device.launch(device.build(kernel), [*arguments, result])
    assert device.fetch(result) == 3


def test_a_built_kernel_outlives_everything_it_came_from(device: Cpu) -> None:
    built = Llvm().open().build(shift(0))
    gc.collect()
    target = device.allocate(TensorSpec("t", (8,)))
    device.launch(built, [device.upload(np.ones(8, np.float32)), target])
    assert device.fetch(target).tolist() == [1] * 8


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (0.0, 0.0, True),
        (0.0, -0.0, False),
        (1.0, np.nextafter(np.float32(1), np.float32(2)), False),
        (np.nan, np.nan, True),
        (np.nan, -np.nan, False),
        (np.inf, np.inf, True),
    ],
)
@pytest.mark.parametrize("index", [0, 70, 999])
def test_same_is_bit_for_bit(device: Cpu, one: float, other: float, same: bool, index: int) -> None:
    arrays = np.zeros((2, 1000), np.float32)
    arrays[0, index], arrays[1, index] = one, other
    assert device.same(device.upload(arrays[0]), device.upload(arrays[1])) is same


def test_wrong_arguments_do_not_run(device: Cpu) -> None:
    target = device.allocate(TensorSpec("t", (8,)))
    for wrong in (np.zeros(9, np.float32), np.zeros(8, np.float64)):
        with pytest.raises(Exception, match="argument #0"):
            device.launch(device.build(shift(0)), [device.upload(wrong), target])
    assert np.isnan(device.fetch(target)).all()


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
    built = device.build(shift(0, backend=Llvm(**options)))
    device.launch(built, [device.upload(np.ones(8, np.float32)), target])
    assert device.fetch(target).tolist() == [1] * 8


def test_the_compilers_refusal_is_a_build_error(device: Cpu) -> None:
    kernel = shift(0)
    stranger = ir.tirx.Var("nowhere", "float32")
    body = ir.ffi.structural_map(
        kernel.ir.body,
        (ir.tirx.BufferStore, lambda node: ir.tirx.BufferStore(node.buffer, stranger, node.indices)),
        order="post",
    )
    with pytest.raises(BuildError, match="nowhere"):
        device.build(attrs.evolve(kernel, ir=kernel.ir.with_body(body)))


def test_diagnose_tells_what_this_machine_has() -> None:
    works, detail = Llvm.diagnose()
    assert works
    assert detail.startswith("LLVM ")
    assert ir.tvm.target.codegen.llvm_get_system_cpu() in detail
    assert "\n" not in detail
