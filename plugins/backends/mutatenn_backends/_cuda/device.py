"""Runs kernels on one CUDA device, through TVM's CUDA runtime."""

from __future__ import annotations

import contextlib
import re
import weakref
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import Device, DeviceLostError, TensorSpec, build_kernel, cached_bytes, memory
from mutatenn_backends._cuda.compile import compile_source, compiled_by, compiler_version
from mutatenn_backends._cuda.memory import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mutatenn import Kernel

# The driver writes CUDA_ERROR_ILLEGAL_ADDRESS, the runtime cudaErrorIllegalAddress.
ERROR = re.compile(r"\b(?:CUDA_ERROR_([A-Z0-9_]+)|cudaError([A-Z]\w+))")
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+|\d+")
# Not what a kernel did, but that there is nothing left to run it.
LOST = {
    "deinitialized",
    "device lost",
    "device not licensed",
    "device unavailable",
    "devices unavailable",
    "cudart unloading",
    "ecc uncorrectable",
    "initialization error",
    "insufficient driver",
    "invalid device",
    "mps connection failed",
    "mps server not ready",
    "no device",
    "not initialized",
    "nvlink uncorrectable",
    "operating system",
    "system driver mismatch",
    "system not ready",
    "unknown",
}
EXHAUSTED = {"memory allocation", "out of memory"}
# After a fault nothing works in this process any more, not even to free memory: that would end it unheard.
_never_freed: list[Tensor | Built] = []


class CudaError(Exception):
    """CUDA reported an error while a kernel ran."""


@attrs.frozen(eq=False)
class Tensor:
    """A tensor in a device's memory."""

    handle: Any


@attrs.frozen(eq=False)
class Built:
    """A kernel's host function, which launches its device code."""

    function: Callable[..., Any]


class CudaDevice(Device):
    """A CUDA device, in this process."""

    def __init__(self, device: Any, target: Any, compiler: str) -> None:
        self.device, self.target, self.compiler = device, target, compiler
        self._alive: weakref.WeakSet[Tensor | Built] = weakref.WeakSet()

    def build(self, kernel: Kernel) -> Built:
        """Generate CUDA source, compile it, and the host code that launches it."""
        with compiled_by(self._compile):
            built = Built(build_kernel(kernel, self.target))
        self._alive.add(built)
        return built

    def _compile(self, source: str) -> bytes:
        arch = str(self.target.attrs["arch"])
        key = f"{compiler_version(self.compiler)} {arch} {source}"
        return cached_bytes(key, lambda: compile_source(source, arch, self.compiler, "cubin"))

    def upload(self, array: NDArray[np.generic]) -> Tensor:
        """Copy an array between guards."""
        return self._place(array.shape, array.dtype, np.ascontiguousarray(array))

    def allocate(self, spec: TensorSpec, *, poison: bool = True) -> Tensor:
        """Return a tensor, if poisoned of NaN, or of the largest value for integers."""
        dtype = np.dtype(spec.dtype)
        content = np.full(spec.shape, memory.poison(dtype)) if poison else None
        return self._place(spec.shape, dtype, content)

    def launch(self, built: Built, arguments: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Run the kernel and wait for it; raises CudaError with CUDA's name of what went wrong."""
        try:
            built.function(*(tensor.handle for tensor in (*arguments, *results)))
            self.device.sync()
        except (TypeError, ValueError):
            raise  # the arguments do not fit
        except Exception as error:
            _never_freed.extend(self._alive)
            raise (_loss(error) or CudaError(error_name(error))) from error

    def fetch(self, tensor: Tensor) -> NDArray[np.generic]:
        """Copy the content."""
        with _losses():
            content: NDArray[np.generic] = tensor.handle.numpy()
        return content

    def same(self, one: Tensor, other: Tensor) -> bool:
        """Compare bytes."""
        return self.fetch(one).tobytes() == self.fetch(other).tobytes()

    def close(self) -> None:
        """Wait for the device; its memory goes with the process."""
        with _losses():
            self.device.sync()

    def _place(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], content: NDArray[np.generic] | None
    ) -> Tensor:
        with _losses():
            tensor = Tensor(place(self.device, shape, dtype, content))
        self._alive.add(tensor)
        return tensor


def error_name(error: BaseException) -> str:
    """Return CUDA's name of an error in plain words (``illegal address``), or the message of any other."""
    found = ERROR.search(str(error))
    if found is None:
        return " ".join(str(error).split())
    words = found[1].split("_") if found[1] else WORDS.findall(found[2])
    return " ".join(words).lower()


def _loss(error: Exception) -> Exception | None:
    """Return DeviceLostError for an error that says that the device is gone, MemoryError if it is full."""
    name = error_name(error)
    if name in LOST:
        return DeviceLostError(f"the CUDA device is gone: {name}")
    return MemoryError(name) if name in EXHAUSTED else None


@contextlib.contextmanager
def _losses() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if loss := _loss(error):
            raise loss from error
        raise
