"""NVIDIA GPUs through CUDA."""

from __future__ import annotations

import ctypes
import functools
import re
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from mutatenn import Backend, InputError, call_isolated, device_code, hookimpl, ir, source_digest
from mutatenn_backends._cuda.compile import COMPILERS, compile_source, compiled_by, missing_tool, toolkits

if TYPE_CHECKING:
    from collections.abc import Callable

    from mutatenn import Device, DeviceCode, Kernel

T = TypeVar("T")
NATIVE = "native"
ARCH = re.compile(r"native|sm_\d{2,3}[af]?")
SCHEDULES = ("gpu", "plain")
# What every device since 2012 has without asking for more.
LIMITS = {"max_num_threads": 1024, "max_shared_memory_per_block": 48 * 2**10}
DRIVER, RUNTIME = "libcuda.so.1", "libcudart.so.13"
# CUDA_ERROR_NOT_INITIALIZED, of the driver in a process forked from one that has used it.
USED_BEFORE = 3


def _check_arch(_: Any, attribute: attrs.Attribute[str], value: str) -> None:
    if not ARCH.fullmatch(value):
        raise ValueError(f"{attribute.name} is 'native' or an architecture such as 'sm_90'")


@attrs.frozen(kw_only=True)
class Cuda(Backend):
    """An NVIDIA GPU, through CUDA.

    ``device`` is its number, ``arch`` the architecture to build for (``native``: that of the device). The
    ``compiler`` of device code is ``nvcc``, or ``nvrtc``, which TVM calls with approximate arithmetic
    (``--use_fast_math``). ``schedules`` are TVM's for GPUs, or ``plain``: a thread per element.
    """

    name = "cuda"
    packages = ("cuda-bindings", "nvidia-cuda-nvrtc")
    shares_fork = False
    sources = ("cuda", "ptx")
    arch: str = attrs.field(default=NATIVE, validator=_check_arch)
    compiler: str = attrs.field(default="nvcc", validator=attrs.validators.in_(COMPILERS))
    device: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    schedules: str = attrs.field(default="gpu", validator=attrs.validators.in_(SCHEDULES))

    def target(self) -> Any:
        """Return the CUDA target; raise InputError for ``native`` where there is no GPU."""
        return _target(_native(self.device) if self.arch == NATIVE else self.arch)

    def schedule(self, function: Any) -> Any:
        """Return the kernel scheduled by the first rule that fits it."""
        from mutatenn_backends._schedules.gpu import apply_schedules

        return apply_schedules(function, self.target(), self.schedules, None)

    def schedule_identity(self) -> str:
        """Return the digest of the schedule rules, which are asked for, and what compiles their outcome."""
        return f"{self.schedules} {self.compiler} {source_digest(__file__)}"

    def source(self, kernel: Kernel, kind: str) -> str:
        """Return generated CUDA C++, or the PTX it compiles to, and in comments how the host launches it."""
        if kind not in self.sources:
            return super().source(kernel, kind)
        target = self.target()
        code = call_isolated(lambda: _generate(kernel, target)) if _runtime() else _generate(kernel, target)
        if kind == "ptx":
            ptx = compile_source(code.source, str(target.attrs["arch"]), self.compiler, "ptx").decode()
            code = attrs.evolve(code, source=ptx[ptx.index(".version") :].rstrip("\0"))
        return code.listing

    def open(self) -> Device:
        """Open the device; raise InputError where it or what it needs is missing."""
        from mutatenn_backends._cuda.device import CudaDevice

        target, device = self.target(), ir.tvm.cuda(self.device)
        if not device.exist:
            raise InputError(_absence(self.device))
        if lacking := missing_tool(self.compiler):
            raise InputError(lacking)
        return CudaDevice(device, target, self.compiler)

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell which compilers are here, and which device, or what it misses."""
        lacking = {compiler: missing_tool(compiler) for compiler in COMPILERS}
        usable = " or ".join(name for name, problem in lacking.items() if not problem)
        builds = f"builds with {usable}" if usable else f"cannot build: {lacking['nvcc']}"
        try:
            absent = missing()
        except InputError as reason:
            return False, f"{builds}; {reason}"
        if absent:
            return False, f"{builds}; cannot run, for want of {', '.join(absent)}"
        name, version = _ask(lambda: (ir.tvm.cuda(0).device_name, ir.tvm.cuda(0).compute_version))
        return bool(usable), f"{builds}; runs on {name}, compute capability {version}"


@functools.cache
def _target(arch: str) -> Any:
    return ir.tvm.target.Target({"kind": "cuda", "arch": arch, **LIMITS}, host="llvm")


@functools.cache
def _native(device: int) -> str:
    """Return the architecture of a device."""
    version = _ask(lambda: ir.tvm.cuda(device).exist and str(ir.tvm.cuda(device).compute_version))
    if not version:
        raise InputError(
            f"{_absence(device)}; to build for another machine's, set arch, for example to 'sm_90'"
        )
    return f"sm_{version.replace('.', '')}"


def _ask(question: Callable[[], T]) -> T:
    """Return what takes the device to tell, in another process: once open here, none could be forked.

    Raises InputError where that has happened already.
    """

    def ask() -> tuple[T, ...]:
        used = _loads(DRIVER) and ctypes.CDLL(DRIVER).cuInit(0) == USED_BEFORE
        return () if used else (question(),)

    if answer := call_isolated(ask):
        return answer[0]
    raise InputError(
        "something in this process has used CUDA before, so that no process forked from it can; run "
        "mutatenn from its command line, or before PyTorch or whatever it is uses the GPU"
    )


def _generate(kernel: Kernel, target: Any) -> DeviceCode:
    """Generate CUDA C++; with TVM's CUDA runtime this opens the device, if only to close a module."""
    with compiled_by(str.encode):  # nobody is going to run it
        return device_code(kernel, target)


def _runtime() -> Any:
    return ir.tvm.get_global_func("device_api.cuda", allow_missing=True)


def missing(device: int = 0) -> list[str]:
    """Return what keeps this machine from running CUDA kernels; opens the device in another process only.

    Raises InputError where something in this process has used CUDA before.
    """
    absent = [f"{DRIVER} (NVIDIA's driver)"] if not _loads(DRIVER) else []
    absent += [f"{RUNTIME} ({_runtime_cure()})"] if not _loads(RUNTIME) else []
    if not absent and _runtime() is None:
        absent.append("TVM's CUDA runtime (install the apache-tvm wheel)")
    if absent or not _ask(lambda: ir.tvm.cuda(device).exist):
        absent.append(f"GPU {device}")
    return absent


def _absence(device: int) -> str:
    return f"no CUDA device {device} here, for want of {', '.join(missing(device))}"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _runtime_cure() -> str:
    folders = (folder for root in toolkits() for folder in (root / "lib64", root / "lib"))
    found = next((folder for folder in folders if (folder / RUNTIME).exists()), None)
    return f"add {found} to LD_LIBRARY_PATH" if found else "install the CUDA 13 toolkit, or mutatenn[cuda]"


@hookimpl
def mutatenn_backends() -> list[type[Backend]]:
    """Contribute the backend."""
    return [Cuda]
