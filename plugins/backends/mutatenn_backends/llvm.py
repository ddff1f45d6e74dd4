"""CPUs through TVM's LLVM code generator."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import (
    Backend,
    Device,
    InfrastructureError,
    Kernel,
    build_kernel,
    compile_kernel,
    hookimpl,
    ir,
    kernel_library,
    kernel_symbol,
    load_library,
    source_digest,
)
from mutatenn_backends._cpu.llvm_text import tidy_assembly, tidy_ir
from mutatenn_backends._cpu.processor import NATIVE, make_target, refuse_elsewhere, runnable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn import TensorSpec

LIBC = ctypes.CDLL(None)
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 2**30

ALIGNMENT = 64  # what generated code assumes of a tensor's address
GUARD = 4096
SKETCHED = 16  # elements
GUARD_BYTE = 0x3F  # 0.747 as float32: out-of-bounds reads see a plain number, the same one in every run


@attrs.frozen(eq=False)
class Tensor:
    """One contiguous buffer as a numpy array, as a TVM tensor and as an address."""

    array: NDArray[np.generic]
    handle: Any
    address: int
    sketch: NDArray[np.generic]


class Cpu(Device):
    """The CPU of this machine, in this process."""

    def __init__(self, target: Any) -> None:
        self.target = target
        _keep_freed_memory()

    def build(self, kernel: Kernel) -> Any:
        """Compile and link in memory."""
        return build_kernel(kernel, self.target)

    def load(self, path: Path, kernel: Kernel) -> Any:
        """Load a shared library."""
        built = load_library(path, kernel_symbol(kernel))
        if built is None:
            raise InfrastructureError(f"{path} cannot be loaded; was it built for this machine's processor?")
        return built

    def upload(self, array: NDArray[np.generic]) -> Tensor:
        """Copy an array between guards."""
        tensor = _guarded(array.shape, array.dtype)
        tensor.array[...] = array
        return tensor

    def allocate(self, spec: TensorSpec, *, poison: bool = True) -> Tensor:
        """Return a tensor, if poisoned of NaN, or of the largest value for integers."""
        dtype = np.dtype(spec.dtype)
        tensor = _guarded(spec.shape, dtype)
        if poison:
            tensor.array.fill(
                np.nan if dtype.kind == "f" else np.iinfo(dtype).max if dtype.kind in "iu" else 1
            )
        return tensor

    def launch(self, built: Any, tensors: Sequence[Tensor]) -> None:
        """Call the kernel."""
        built(*(tensor.handle for tensor in tensors))

    def fetch(self, tensor: Tensor) -> NDArray[np.generic]:
        """Copy the content."""
        return tensor.array.copy()

    def sketch(self, tensor: Tensor) -> bytes:
        """Return some elements, spread over the tensor."""
        return tensor.sketch.tobytes()

    def same(self, one: Tensor, other: Tensor) -> bool:
        """Compare bytes, up to the first that differ."""
        size = ctypes.c_size_t(one.array.nbytes)
        return bool(LIBC.memcmp(ctypes.c_void_p(one.address), ctypes.c_void_p(other.address), size) == 0)


def _keep_freed_memory() -> None:
    """Have malloc keep what is freed: fresh pages from the kernel cost as much as a small convolution."""
    if hasattr(LIBC, "mallopt"):  # glibc
        LIBC.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        LIBC.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _guarded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """Allocate between two guards of known bytes, so that a small out-of-bounds access is repeatable."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    buffer = np.empty(size + 2 * GUARD + ALIGNMENT, np.uint8)
    address = buffer.ctypes.data
    start = GUARD + -(address + GUARD) % ALIGNMENT
    buffer[:start] = GUARD_BYTE
    buffer[start + size :] = GUARD_BYTE
    array = buffer[start : start + size].view(dtype).reshape(shape)
    flat = array.reshape(-1)
    stride = max(1, flat.size // SKETCHED)
    sketch = flat[stride // 2 :: stride][:SKETCHED]
    return Tensor(array, ir.ffi.from_dlpack(array), address + start, sketch)


@attrs.frozen(kw_only=True)
class Llvm(Backend):
    """The CPU of this machine, through LLVM.

    ``mcpu`` is an LLVM processor name, ``mattr`` a list of features such as ``+avx2``, ``mtriple`` the
    architecture and system of another machine, whose code is generated but does not run here. ``native`` is
    this machine's processor, or the most general one of another. Without ``schedules`` kernels run as the
    importer leaves them, many times slower.
    """

    name = "llvm"
    sources = ("llvm", "asm")
    mcpu: str = NATIVE
    mattr: tuple[str, ...] = ()
    mtriple: str = ""
    schedules: bool = True

    def target(self) -> Any:
        """Return the LLVM target; raise InputError for a name that LLVM does not know."""
        return make_target(self.mcpu, self.mattr, self.mtriple)

    def schedule(self, function: Any) -> Any:
        """Return the kernel scheduled by the first rule that fits it."""
        if not self.schedules:
            return function
        from mutatenn_backends._schedules.cpu import apply_schedules

        return apply_schedules(function, self.target())

    def schedule_identity(self) -> str:
        """Return the digest of the schedule rules."""
        return f"{self.schedules} {source_digest(__file__)}"

    def source(self, kernel: Kernel, kind: str) -> str:
        """Return a kernel's optimised LLVM IR (``llvm``) or machine code (``asm``), debugging left out."""
        if kind not in self.sources:
            return super().source(kernel, kind)
        if kind == "llvm":
            return tidy_ir(str(compile_kernel(kernel, self.target()).inspect_source("ll")))
        library = compile_kernel(_with_numbered_parameters(kernel), self.target())
        return tidy_assembly(str(library.inspect_source("asm")))

    def open(self) -> Device:
        """Open the CPU; raise InputError where it cannot execute the target's code."""
        refuse_elsewhere(self.target())
        return Cpu(self.target())

    def export(self, kernel: Kernel) -> bytes:
        """Return a kernel as a shared library."""
        return kernel_library(kernel, self.target())

    def open_elsewhere(self) -> Device:
        """Open the CPU of a machine that only runs what was built for it."""
        return Cpu(None)

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell what LLVM builds for, and what this machine's processor runs."""
        if not ir.tvm.runtime.enabled("llvm"):
            return False, "this build of TVM has no LLVM; install the apache-tvm wheel"
        codegen = ir.tvm.target.codegen
        builds = (
            f"LLVM {codegen.llvm_version_major()} builds for {len(codegen.llvm_get_targets())} architectures"
        )
        return (
            True,
            f"{builds}; this processor, {codegen.llvm_get_system_cpu()}, runs {', '.join(runnable())}",
        )


def _with_numbered_parameters(kernel: Kernel) -> Kernel:
    """Return a kernel that does not name its parameters as it did: machine code has messages about them."""
    if isinstance(kernel.ir, ir.tvm.IRModule):
        return kernel
    names = {each: ir.tirx.Var(f"p{number}", each.ty) for number, each in enumerate(kernel.ir.params)}
    renamed = ir.ffi.structural_map(
        kernel.ir, (ir.tvm.ir.Var, lambda each: names.get(each, each)), order="post"
    )
    return Kernel(kernel.digest, kernel.name, renamed)


@hookimpl
def mutatenn_backends() -> list[type[Backend]]:
    """Contribute the backend."""
    return [Llvm]
