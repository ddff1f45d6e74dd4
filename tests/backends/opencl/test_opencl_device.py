"""The OpenCL device keeps the contract of a device, and makes small memory errors repeatable."""

from __future__ import annotations

import itertools
import os
import threading
from typing import Any

import numpy as np
import pytest

from mutatenn import (
    BuildError,
    Device,
    DeviceLostError,
    InfrastructureError,
    InputError,
    Kernel,
    TensorSpec,
    ir,
)
from mutatenn.api.memory import GUARD_BYTE
from mutatenn_backends._opencl.device import losses
from mutatenn_backends._opencl.devices import choose_device, find_devices
from mutatenn_backends._opencl.memory import fold
from mutatenn_backends.opencl import OpenCl

DTYPES = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"]
SHAPES = [(), (1,), (0, 3), (3, 5), (1, 2, 3, 4), (1000, 70)]
BEYOND = np.frombuffer(bytes([GUARD_BYTE] * 4), np.float32)[0]
# B[i] = A[i + shift]; stays inside the buffers for shift 0 only.
SHIFT = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8,), "{dtype}"), B: T.Buffer((8,), "{dtype}")):
    for i in T.thread_binding(8, thread="blockIdx.x"):
        B[i] = A[i + {shift}]
"""
# C reversed into B, by way of scratch memory between two launches.
TWICE = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((10,), "float32"), B: T.Buffer((10,), "float32")):
    C = T.sblock_alloc_buffer((10,))
    for b in T.thread_binding(4, thread="blockIdx.x"):
        for t in T.thread_binding(3, thread="threadIdx.x"):
            if b * 3 + t < {bound}:
                C[b * 3 + t] = A[b * 3 + t] * T.float32(2)
    for b in T.thread_binding(10, thread="blockIdx.x"):
        B[b] = C[9 - b] + T.float32(1)
"""


def shift(bench: Any, by: int, dtype: str = "float32") -> Kernel:
    kernel: Kernel = bench.kernel(SHIFT.format(shift=by, dtype=dtype))
    return kernel


def test_a_new_tensor_is_poisoned(bench: Any) -> None:
    specs = [TensorSpec("t", shape, dtype) for shape, dtype in itertools.product(SHAPES, DTYPES)]

    def work(device: Device) -> list[Any]:
        return [device.fetch(device.allocate(spec)) for spec in specs]

    for spec, content in zip(specs, bench.call(work), strict=True):
        assert (content.shape, content.dtype) == (spec.shape, np.dtype(spec.dtype))
        if content.dtype.kind == "f":
            assert np.isnan(content).all(), spec
        else:
            assert (content == (True if spec.dtype == "bool" else np.iinfo(spec.dtype).max)).all(), spec


def test_what_goes_up_comes_down(bench: Any) -> None:
    shapes = [np.arange(np.prod(shape, dtype=int)).reshape(shape) % 100 for shape in SHAPES]
    arrays = [array.astype(dtype) for array, dtype in itertools.product(shapes, DTYPES)]
    arrays += [np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)]

    def work(device: Device) -> None:
        for array in arrays:
            tensor, again = device.upload(array), device.upload(array)
            content = device.fetch(tensor)
            assert (content.shape, content.dtype) == (array.shape, array.dtype)
            assert content.tobytes() == array.tobytes()
            assert device.same(tensor, again)
            assert device.digest(tensor) == device.digest(again)
            assert device.sketch(tensor) == device.sketch(again)

    bench.call(work)


def test_up_and_down_are_copies(bench: Any) -> None:
    def work(device: Device) -> Any:
        array = np.zeros(4, np.float32)
        tensor = device.upload(array)
        array[:] = 1
        device.fetch(tensor)[:] = 2
        return device.fetch(tensor)

    assert bench.call(work).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("shared", [True, False])
def test_same_and_digest_are_bit_for_bit(bench: Any, shared: bool) -> None:
    pairs = [
        (0.0, 0.0),
        (0.0, -0.0),
        (1.0, np.nextafter(np.float32(1), 2)),
        (np.nan, np.nan),
        (np.nan, -np.nan),
    ]

    def work(device: Any) -> list[list[bool]]:
        object.__setattr__(device.memory, "shared", shared)  # as a device with memory of its own has it
        found = []
        for (one, other), index in itertools.product(pairs, (0, 2500, 4999)):
            arrays = np.zeros((2, 5000), np.float32)
            arrays[0, index], arrays[1, index] = one, other
            first, second = device.upload(arrays[0]), device.upload(arrays[1])
            digests = device.digest(first) == device.digest(second)
            found.append([arrays[0].tobytes() == arrays[1].tobytes(), device.same(first, second), digests])
        return found

    results = bench.call(work)
    assert all(expected == same == digests for expected, same, digests in results)
    assert {expected for expected, *_ in results} == {True, False}


def test_no_small_change_escapes_the_sums_of_a_digest() -> None:
    rng = np.random.default_rng(1)
    for size in (80, 8192, 8192 * 3 + 11, 100_000):
        content = rng.integers(0, 256, size, np.uint8)
        before = fold(content)
        assert fold(content.copy()) == before
        for place in (0, size // 2, size - 1):
            changed = content.copy()
            changed[place] ^= 1
            assert fold(changed) != before
        one, other = size // 8 // 3 * 8, size // 8 * 4 // 8 * 8
        swapped = content.copy()
        swapped[one : one + 8], swapped[other : other + 8] = (
            content[other : other + 8],
            content[one : one + 8],
        )
        assert fold(swapped) != before or swapped.tobytes() == content.tobytes()


def test_kernels_read_and_write_the_tensors(bench: Any) -> None:
    array = np.arange(8, dtype=np.float32)
    assert bench.run(shift(bench, 0), array).tolist() == array.tolist()


@pytest.mark.parametrize("by", [3, -3, 900, -900])
def test_a_read_out_of_bounds_sees_the_guard(bench: Any, by: int) -> None:
    result = bench.run(shift(bench, by), np.arange(8, dtype=np.float32))
    assert result.tolist() == [np.float32(i + by) if 0 <= i + by < 8 else BEYOND for i in range(8)]


@pytest.mark.parametrize("dtype", ["int64", "bool", "float64", "uint8"])
def test_kernels_of_other_types_run(bench: Any, dtype: str) -> None:
    array = np.array([0, 1, 1, 0, 1, 0, 0, 1]).astype(dtype)
    result = bench.run(shift(bench, 0, dtype), array)
    assert (result.dtype, result.tobytes()) == (array.dtype, array.tobytes())


def test_launches_share_scratch_memory_in_order(bench: Any) -> None:
    array = np.arange(10, dtype=np.float32)
    assert bench.run(bench.kernel(TWICE.format(bound=10)), array).tolist() == (array[::-1] * 2 + 1).tolist()


def test_scratch_memory_left_unwritten_shows_whenever_the_kernel_runs(bench: Any) -> None:
    whole, part = (bench.kernel(TWICE.format(bound=bound)) for bound in (10, 9))
    array = np.arange(10, dtype=np.float32)
    for result in bench.run_all([(whole, [array]), (part, [array]), (part, [array])])[1:]:
        assert np.isnan(result).tolist() == [True] + [False] * 9


def test_built_kernels_run_again_and_keep_their_scratch_memory(bench: Any) -> None:
    kernel, arrays = bench.kernel(TWICE.format(bound=10)), np.arange(20, dtype=np.float32).reshape(2, 10)

    def work(device: Device) -> list[Any]:
        built, result = device.build(kernel), device.allocate(TensorSpec("r", (10,)))
        found = []
        for array in arrays:
            device.launch(built, [device.upload(array), result])
            found.append(device.fetch(result))
        return found

    np.testing.assert_array_equal(bench.call(work), arrays[:, ::-1] * 2 + 1)


def test_wrong_arguments_are_the_engines_mistake_and_do_not_run(bench: Any) -> None:
    kernel = shift(bench, 0)

    def work(device: Device) -> Any:
        built, target = device.build(kernel), device.allocate(TensorSpec("t", (8,)))
        for wrong in (np.zeros(9, np.float32), np.zeros(8, np.float64)):
            with pytest.raises(ValueError, match="argument #0"):
                device.launch(built, [device.upload(wrong), target])
        with pytest.raises(TypeError, match="1 tensors for 2"):
            device.launch(built, [target])
        return device.fetch(target)

    assert np.isnan(bench.call(work)).all()


def test_a_launch_that_the_device_refuses_is_the_kernels_own_doing(bench: Any) -> None:
    threads = 2 * choose_device("", "").threads
    source = (
        SHIFT.format(shift=0, dtype="float32").replace("blockIdx", "threadIdx").replace("(8", f"({threads}")
    )
    kernel = bench.kernel(source)

    def work(device: Device) -> str:
        tensors = [device.allocate(TensorSpec("t", (threads,))) for _ in range(2)]
        try:
            device.launch(device.build(kernel), tensors)
        except (TypeError, ValueError):
            return "the engine's"
        except Exception as error:
            return f"{type(error).__module__} {error}"
        return ""

    assert "WORK_GROUP_SIZE" in bench.call(work)


def test_a_wild_access_ends_the_process_and_no_other(bench: Any) -> None:
    array = np.zeros(8, np.float32)
    with pytest.raises(InfrastructureError, match="SIGSEGV"):
        bench.run(shift(bench, 2**40), array)
    assert bench.run(shift(bench, 0), array).tolist() == array.tolist()


def test_a_tensor_that_does_not_fit_is_a_lack_of_memory(bench: Any) -> None:
    def work(device: Device) -> None:
        device.allocate(TensorSpec("t", (2**50,)))

    with pytest.raises(MemoryError):
        bench.call(work)


@pytest.mark.parametrize("lost", [True, False])
def test_errors_that_mean_a_lost_device_are_told_from_others(bench: Any, lost: bool) -> None:
    def work(device: Any) -> None:
        import pyopencl as cl

        with losses({cl.status_code.INVALID_BUFFER_SIZE if lost else cl.status_code.DEVICE_NOT_AVAILABLE}):
            cl.Buffer(device.context, cl.mem_flags.READ_WRITE, 0)

    with pytest.raises(
        DeviceLostError if lost else InfrastructureError, match="INVALID_BUFFER_SIZE"
    ) as caught:
        bench.call(work)
    assert isinstance(caught.value, DeviceLostError) is lost


def test_the_drivers_refusal_is_a_build_error(bench: Any) -> None:
    kernel = shift(bench, 0)
    stranger = ir.tirx.call_pure_extern("float32", "no_such_function", ir.tirx.const(1.0, "float32"))
    body = ir.ffi.structural_map(
        kernel.ir.body,
        (ir.tirx.BufferStore, lambda node: ir.tirx.BufferStore(node.buffer, stranger, node.indices)),
        order="post",
    )
    wrong = Kernel("1", "wrong", kernel.ir.with_body(body))

    def work(device: Device) -> None:
        device.build(wrong)

    with pytest.raises(BuildError, match="no_such_function"):
        bench.call(work)


def test_devices_are_chosen_by_part_of_a_name_or_by_number(bench: Any) -> None:
    first = find_devices()[0]
    assert choose_device("", "") == first
    assert choose_device(first.platform.lower()[:8], first.device.upper()[-4:]) == first
    assert choose_device(str(first.place[0]), str(first.place[1])) == first
    with pytest.raises(InputError, match=r"platform 'nowhere'.*there is .*" + first.platform[:8]):
        OpenCl(platform="nowhere").target()
    with pytest.raises(InputError, match="device '99'"):
        OpenCl(device="99").open()


def test_asking_for_devices_leaves_this_process_fit_to_fork(bench: Any) -> None:
    find_devices.cache_clear()
    before = os.listdir("/proc/self/task")
    works, detail = OpenCl.diagnose()
    OpenCl().target()
    assert os.listdir("/proc/self/task") == before
    assert threading.active_count() <= len(before)
    assert works
    assert find_devices()[0].device in detail
    assert find_devices()[0].platform in detail
    assert "\n" not in detail


def test_options_reach_the_target(bench: Any) -> None:
    target = OpenCl(max_num_threads=32).target()
    assert target.kind.name == "opencl"
    assert target.attrs["max_num_threads"] == 32
    most = choose_device("", "").threads
    assert OpenCl(max_num_threads=10**9).target().attrs["max_num_threads"] == most
    with pytest.raises(ValueError, match="schedules"):
        OpenCl(schedules="fast")


def test_the_cure_is_named_where_pyopencl_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find_devices.cache_clear()
    choose_device.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("mutatenn_backends._opencl.devices.find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"pip install 'mutatenn\[opencl\]'"):
            OpenCl().target()
        assert OpenCl.diagnose() == (False, "pyopencl is not installed; pip install 'mutatenn[opencl]'")
