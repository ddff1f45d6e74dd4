"""The OpenCL device keeps the contract of a device, and makes small memory errors repeatable."""

from __future__ import annotations

import os
import threading
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import (
    Device,
    DeviceLostError,
    InfrastructureError,
    InputError,
    Kernel,
    TensorSpec,
)
from mutatenn.testing import check_device
from mutatenn_backends._opencl.device import losses
from mutatenn_backends._opencl.devices import choose_device, find_devices
from mutatenn_backends._opencl.memory import fold
from mutatenn_backends.opencl import OpenCl

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


@attrs.frozen(kw_only=True)
class Discrete(OpenCl):
    """A device whose memory the host does not look into."""

    def open(self) -> Device:
        device: Any = super().open()
        object.__setattr__(device.memory, "shared", False)
        return device


def shift(bench: Any, by: int, dtype: str = "float32") -> Kernel:
    kernel: Kernel = bench.kernel(SHIFT.format(shift=by, dtype=dtype))
    return kernel


@pytest.mark.parametrize(
    "backend",
    [OpenCl(schedules="auto"), OpenCl(schedules="gpu"), Discrete()],
    ids=["cpu", "gpu", "discrete"],
)
@pytest.mark.slow
def test_the_contract_of_devices_is_kept(bench: Any, backend: OpenCl) -> None:
    check_device(backend)


def test_kernels_compute_with_doubles(bench: Any) -> None:
    array = np.arange(8, dtype=np.float64)
    assert bench.run(shift(bench, 0, "float64"), array).tobytes() == array.tobytes()


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
            device.launch(built, [device.upload(array)], [result])
            found.append(device.fetch(result))
        return found

    np.testing.assert_array_equal(bench.call(work), arrays[:, ::-1] * 2 + 1)


def test_a_launch_that_the_device_refuses_is_the_kernels_own_doing(bench: Any) -> None:
    threads = 2 * choose_device("", "").threads
    source = (
        SHIFT.format(shift=0, dtype="float32").replace("blockIdx", "threadIdx").replace("(8", f"({threads}")
    )
    kernel = bench.kernel(source)

    def work(device: Device) -> str:
        tensors = [device.allocate(TensorSpec("t", (threads,))) for _ in range(2)]
        try:
            device.launch(device.build(kernel), tensors[:1], tensors[1:])
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
