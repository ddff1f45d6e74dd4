"""CPUs through TVM's LLVM code generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import Backend, Device, build_kernel, hookimpl, ir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mutatenn import Kernel, TensorSpec

ALIGNMENT = 64  # what generated code assumes of a tensor's address
GUARD = 4096
GUARD_BYTE = 0x3F  # 0.747 as float32: out-of-bounds reads see a plain number, the same one in every run


@attrs.frozen(eq=False)
class Tensor:
    """One buffer seen twice: as a numpy array and as a TVM tensor."""

    array: NDArray[np.generic]
    handle: Any


class Cpu(Device):
    """The CPU of this machine, in this process."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def build(self, kernel: Kernel) -> Any:
        """Compile and link in memory."""
        return build_kernel(kernel, self.target)

    def upload(self, array: NDArray[np.generic]) -> Tensor:
        """Copy an array between guards."""
        tensor = _guarded(array.shape, array.dtype)
        tensor.array[...] = array
        return tensor

    def allocate(self, spec: TensorSpec) -> Tensor:
        """Return a tensor of NaN, or of the largest value for integers."""
        dtype = np.dtype(spec.dtype)
        tensor = _guarded(spec.shape, dtype)
        tensor.array.fill(np.nan if dtype.kind == "f" else np.iinfo(dtype).max if dtype.kind in "iu" else 1)
        return tensor

    def launch(self, built: Any, tensors: Sequence[Tensor]) -> None:
        """Call the kernel."""
        built(*(tensor.handle for tensor in tensors))

    def fetch(self, tensor: Tensor) -> NDArray[np.generic]:
        """Copy the content."""
        return tensor.array.copy()

    def same(self, one: Tensor, other: Tensor) -> bool:
        """Compare bytes, the first few ahead of the rest: different tensors mostly differ early."""
        mine, theirs = one.array.reshape(-1).view(np.uint8), other.array.reshape(-1).view(np.uint8)
        return bool(np.array_equal(mine[:256], theirs[:256]) and np.array_equal(mine, theirs))


def _guarded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """Allocate between two guards of known bytes, so that a small out-of-bounds access is repeatable."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    buffer = np.empty(size + 2 * GUARD + ALIGNMENT, np.uint8)
    start = GUARD + -(buffer.ctypes.data + GUARD) % ALIGNMENT
    buffer[:start] = GUARD_BYTE
    buffer[start + size :] = GUARD_BYTE
    array = buffer[start : start + size].view(dtype).reshape(shape)
    return Tensor(array, ir.ffi.from_dlpack(array))


@attrs.frozen(kw_only=True)
class Llvm(Backend):
    """The CPU of this machine, through LLVM.

    ``mcpu`` is an LLVM processor name (``native``: this machine's), ``mattr`` a list of features
    such as ``+avx2``.
    """

    name = "llvm"
    mcpu: str = "native"
    mattr: tuple[str, ...] = ()

    def target(self) -> Any:
        """Return the LLVM target."""
        cpu = ir.tvm.target.codegen.llvm_get_system_cpu() if self.mcpu == "native" else self.mcpu
        config: dict[str, Any] = {"kind": "llvm", "mcpu": cpu}
        if self.mattr:
            config["mattr"] = list(self.mattr)
        return ir.tvm.target.Target(config)

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
