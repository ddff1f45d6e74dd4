"""Tensors between guards, CUDA's errors by name, and kernels on a GPU where there is one."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import mutatenn
from mutatenn import DeviceLostError, InputError, Kernel, Program, TensorSpec, build_kernel, call_isolated, ir
from mutatenn.api.memory import GUARD, GUARD_BYTE
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.testing import check_device
from mutatenn_backends._cuda import memory
from mutatenn_backends._cuda.compile import find_nvcc, missing_tool
from mutatenn_backends._cuda.device import Built, CudaDevice, CudaError, error_name
from mutatenn_backends.cuda import DRIVER as LIBRARY
from mutatenn_backends.cuda import RUNTIME, Cuda, _loads, missing
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx

ABSENT = [*missing(), *filter(None, [missing_tool("nvcc")])]
GPU = pytest.mark.skipif(bool(ABSENT), reason=f"no {', '.join(ABSENT)}")
# B[i] = A[i + shift]; stays inside the buffers for shift 0 only.
SHIFT = """
@T.prim_func(s_tir=True)
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.sblock("block"):
            v = T.axis.spatial(8, i)
            B[v] = A[v + {shift}]
"""


@pytest.fixture
def device() -> CudaDevice:
    """Return what holds a GPU's tensors, with the CPU in the place of the GPU."""
    return CudaDevice(ir.tvm.cpu(), Cuda(arch="sm_90").target(), "nvcc")


def shift(by: int, backend: Any) -> Kernel:
    function = ir.script.from_source(SHIFT.format(shift=by))
    return Kernel("0", "shift", lower_kernel(backend.schedule(function), backend.target()))


class Host(CudaDevice):
    """The CPU in the place of the GPU, which runs what LLVM makes of kernels."""

    def build(self, kernel: Kernel) -> Built:
        return Built(build_kernel(kernel, self.target))


@attrs.frozen(kw_only=True)
class OnHost(Cuda):
    """All of a CUDA device but what takes one."""

    name = "cuda-on-host"

    def target(self) -> Any:
        return Llvm().target()

    def schedule(self, function: Any) -> Any:
        return function

    def open(self) -> Host:
        return Host(ir.tvm.cpu(), self.target(), self.compiler)


def test_the_contract_of_devices_is_kept_but_for_code_generation() -> None:
    check_device(OnHost())


@GPU
@pytest.mark.parametrize("schedules", ["gpu", "plain"])
def test_the_contract_of_devices_is_kept(schedules: str) -> None:
    check_device(Cuda(schedules=schedules))


def test_tensors_stand_between_guards_that_go_with_them(device: CudaDevice) -> None:
    before = set(memory._foundations)
    tensor = device.upload(np.zeros(10, np.float32))
    (address,) = set(memory._foundations) - before
    whole = memory._foundations[address][-1].numpy()
    assert set(whole[:GUARD].tolist()) == set(whole[-GUARD:].tolist()) == {GUARD_BYTE}
    assert whole[GUARD:-GUARD].tolist() == [0] * 40
    del tensor
    assert set(memory._foundations) == before


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (
            "CUDA Runtime Error: cudaErrorIllegalAddress (700): an illegal memory access was",
            "illegal address",
        ),
        ("CUDALaunch Error: CUDA_ERROR_INVALID_VALUE\n grid=(1,1,1), block=(2048,1,1)", "invalid value"),
        ("cuModuleLoadData(&m, x) failed with error: CUDA_ERROR_NO_BINARY_FOR_GPU", "no binary for gpu"),
        ("CUDA Runtime Error: cudaErrorECCUncorrectable (214): uncorrectable ECC error", "ecc uncorrectable"),
        ("CUDA Runtime Error: cudaErrorMisalignedAddress (716): misaligned address", "misaligned address"),
        ("something\n  else", "something else"),
    ],
)
def test_errors_are_named(message: str, name: str) -> None:
    assert error_name(RuntimeError(message)) == name


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ("cudaErrorIllegalAddress (700)", CudaError, "illegal address"),
        ("CUDA_ERROR_LAUNCH_FAILED", CudaError, "launch failed"),
        ("cudaErrorDevicesUnavailable (46)", DeviceLostError, "the CUDA device is gone: devices unavailable"),
        ("cudaErrorNoDevice (100)", DeviceLostError, "no device"),
        ("CUDA_ERROR_OUT_OF_MEMORY", MemoryError, "out of memory"),
    ],
)
def test_a_lost_device_is_told_from_a_failing_kernel(
    device: CudaDevice, message: str, kind: type[Exception], text: str
) -> None:
    def fail() -> None:
        raise RuntimeError(message)

    with pytest.raises(kind, match=text):
        device.launch(Built(fail), [], [])


def test_after_a_fault_no_memory_is_given_back(device: CudaDevice) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("cudaErrorIllegalAddress")

    def alive() -> int:
        return len(device._alive)

    tensor = device.upload(np.zeros(4, np.float32))
    device.allocate(TensorSpec("t", (4,)))
    assert alive() == 1, "what nobody holds is freed"
    with pytest.raises(CudaError):
        device.launch(Built(fail), [], [tensor])
    del tensor
    assert alive() == 1, "freeing it would end the process"


# In the driver's place: with it TVM's CUDA runtime loads, but finds no device. It tells who looks for one.
DRIVER = """
#include <stdio.h>
#include <unistd.h>
int cuGetProcAddress_v2() { fprintf(stderr, "opened by %d\\n", getpid()); return 100; }
int cuDeviceGetName() { return 100; }
int cuFuncSetAttribute() { return 100; }
int cuGetErrorName() { return 100; }
int cuGetErrorString() { return 100; }
int cuInit() { return 100; }
int cuLaunchKernelEx() { return 100; }
int cuModuleGetFunction() { return 100; }
int cuModuleLoadData() { return 100; }
int cuModuleUnload() { return 100; }
int cuTensorMapEncodeTiled() { return 100; }
"""
WITHOUT_DEVICE = """
import sys
sys.path.insert(0, sys.argv[1])
from test_cuda_device import *

backend = Cuda(arch="sm_90")
assert missing() == ["GPU 0"], missing()
device = CudaDevice(ir.tvm.cuda(0), backend.target(), "nvcc")
assert "__global__" in backend.source(shift(0, backend), "cuda"), "it takes no compiler to see the source"
device.build(shift(0, backend)).function
compilation = sys.modules["mutatenn_backends._cuda.compile"]
nvcc, compilation._nvcc = compilation._nvcc, None
device.build(shift(0, backend)).function, "the second time it is not compiled"
compilation._nvcc = nvcc
for arch, error in (("sm_20", mutatenn.BuildError), ("sm_90", DeviceLostError)):
    other = CudaDevice(ir.tvm.cuda(0), Cuda(arch=arch).target(), "nvcc")
    try:
        other.build(shift(0, backend))
        other.allocate(TensorSpec("t", (4,)))
    except error as reason:
        print(reason)
"""


QUIET = """
import sys
sys.path.insert(0, sys.argv[1])
from test_cuda_device import *

def tell():
    print("opened by me" if lines(os.getpid()) else "not opened")

def lines(pid):
    sys.stderr.flush()
    return f"opened by {pid}" in Path(sys.argv[2]).read_text().splitlines()

backend = Cuda(arch="sm_90")
Toolchain(Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx"))), backend, Profile())
backend.source(shift(0, backend), "cuda")
Cuda.diagnose()
tell()
ir.tvm.cuda(0).exist
tell()
"""


@pytest.fixture
def call(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that runs a program without a device, but with TVM's CUDA runtime."""
    if not missing():
        pytest.skip("this machine has a GPU")
    if shutil.which("cc") is None or not _loads(RUNTIME):
        pytest.skip(f"no cc, or no {RUNTIME}")
    (tmp_path / "driver.c").write_text(DRIVER)
    library = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", "libcuda.so.1", "driver.c"]
    subprocess.run(["cc", *library], check=True, cwd=tmp_path)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}

    def call(source: str) -> str:
        log = tmp_path / "stderr"
        program = [sys.executable, "-c", source, str(Path(__file__).parent), str(log)]
        with log.open("w") as errors:
            done = subprocess.run(program, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert done.returncode == 0, log.read_text()
        return done.stdout

    return call


@pytest.mark.skipif(find_nvcc() is None, reason="no nvcc; install the CUDA toolkit")
def test_device_code_is_compiled_as_tvm_builds_a_kernel(call: Callable[[str], str]) -> None:
    rejected, lost = call(WITHOUT_DEVICE).splitlines()
    assert "Unsupported gpu architecture" in rejected
    assert lost.startswith("the CUDA device is gone")


def test_before_the_device_is_opened_nothing_opens_it(call: Callable[[str], str]) -> None:
    assert call(QUIET).splitlines() == ["not opened", "opened by me"]


def answer(backend: Any, program: Program, image: Any) -> Any:
    device = backend.open()
    tensors = {number: device.upload(constant.value) for number, constant in program.constants.items()}
    tensors[program.input] = device.upload(image)
    for call in program.calls:
        tensors |= {number: device.allocate(program.values[number]) for number in call.results}
        operands = ([tensors[number] for number in each] for each in (call.arguments, call.results))
        device.launch(device.build(call.kernel), *operands)
    return device.fetch(tensors[program.output])


@GPU
@pytest.mark.parametrize("schedules", ["gpu", "plain"])
def test_the_gpu_and_the_cpu_agree(schedules: str) -> None:
    model = Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx")))
    image = np.random.default_rng(0).uniform(0, 1, model.input.shape).astype(np.float32)
    answers = []
    for backend in (Llvm(), Cuda(schedules=schedules)):
        program = Toolchain(model, backend, Profile()).program
        answers.append(call_isolated(lambda b=backend, p=program: answer(b, p, image)))
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-5)


def fault(by: int) -> str:
    device = Cuda().open()
    built = device.build(shift(by, Cuda()))
    tensors = [device.upload(np.ones(8, np.float32)), device.allocate(TensorSpec("t", (8,)))]
    try:
        device.launch(built, tensors[:1], tensors[1:])
    except CudaError as error:
        return str(error)
    return str(device.fetch(tensors[1]).tolist())


@GPU
def test_a_gpu_reads_the_guards_and_names_its_faults() -> None:
    beyond = float(np.frombuffer(bytes([GUARD_BYTE] * 4), np.float32)[0])
    assert call_isolated(lambda: fault(0)) == str([1.0] * 8)
    assert call_isolated(lambda: fault(8)) == str([beyond] * 8)
    assert call_isolated(lambda: fault(2**40)) == "illegal address"


@GPU
def test_a_process_that_has_used_cuda_is_told_so() -> None:
    def use_before() -> str:
        ctypes.CDLL(LIBRARY).cuInit(0)
        works, detail = Cuda.diagnose()
        assert not works
        with pytest.raises(InputError, match="has used CUDA before"):
            Cuda().target()
        return detail

    assert "something in this process has used CUDA before" in call_isolated(use_before)


@GPU
def test_a_campaign_on_a_gpu(tmp_path: Path) -> None:
    campaign = tmp_path / "campaign.toml"
    campaign.write_text("""
name = "gpu"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/*_00*.png"
truth = "filename-prefix"
[[environments]]
name = "gpu"
backend = "cuda"
[[mutations]]
operator = "lt-to-le"
sites = { sample = 4, seed = 1 }
""")
    run = mutatenn.run(campaign, out=tmp_path / "run")
    assert run.baselines["gpu"].accuracy >= 0.9
    assert all("gpu" in mutant.verdicts for mutant in run.mutants)
