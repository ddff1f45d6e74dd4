"""CPUs through TVM's LLVM code generator."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import Backend, Device, build_kernel, hookimpl, ir, source_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mutatenn import Kernel, TensorSpec

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

    ``mcpu`` is an LLVM processor name (``native``: this machine's), ``mattr`` a list of features
    such as ``+avx2``. Without ``schedules`` kernels run as the importer leaves them, many times slower.
    """

    name = "llvm"
    mcpu: str = "native"
    mattr: tuple[str, ...] = ()
    schedules: bool = True

    def target(self) -> Any:
        """Return the LLVM target."""
        cpu = ir.tvm.target.codegen.llvm_get_system_cpu() if self.mcpu == "native" else self.mcpu
        config: dict[str, Any] = {"kind": "llvm", "mcpu": cpu}
        if self.mattr:
            config["mattr"] = list(self.mattr)
        return ir.tvm.target.Target(config)

    def schedule(self, function: Any) -> Any:
        """Return the kernel scheduled by the first rule that fits it."""
        if not self.schedules:
            return function
        from mutatenn_backends.schedules import apply_schedules

        return apply_schedules(function, self.target())

    def schedule_identity(self) -> str:
        """Return the digest of the schedule rules."""
        return f"{self.schedules} {source_digest(__file__)}"

    def open(self) -> Cpu:
        """Open the CPU."""
        return Cpu(self.target())

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell the LLVM version and processor."""
        if not ir.tvm.runtime.enabled("llvm"):
            return False, "this build of TVM has no LLVM; install the apache-tvm wheel"
        codegen = ir.tvm.target.codegen
        return True, f"LLVM {codegen.llvm_version_major()}, processor {codegen.llvm_get_system_cpu()}"


@hookimpl
def mutatenn_backends() -> list[type[Backend]]:
    """Contribute the backend."""
    return [Llvm]
