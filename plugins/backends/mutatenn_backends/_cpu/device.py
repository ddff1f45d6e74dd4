"""The CPU of this machine: tensors are arrays of the host, each between two guards of known bytes."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import Device, InfrastructureError, build_kernel, ir, kernel_symbol, load_library, memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn import Kernel, TensorSpec

LIBC = ctypes.CDLL(None)
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 2**30


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
            tensor.array.fill(memory.poison(dtype))
        return tensor

    def launch(self, built: Any, arguments: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Call the kernel."""
        built(*(tensor.handle for tensor in (*arguments, *results)))

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
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    _, content = memory.between_guards(size, memory.ALIGNMENT)
    array = content.view(dtype).reshape(shape)
    return Tensor(array, ir.ffi.from_dlpack(array), content.ctypes.data, memory.sketched(array.reshape(-1)))
