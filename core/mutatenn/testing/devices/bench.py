"""An open device with kernels to try it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from mutatenn.api.values import TensorSpec
from mutatenn.testing.kernels import block_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn.api.backend import Backend, Device
    from mutatenn.api.program import Kernel

Array = NDArray[np.generic]
Check = Callable[["Bench"], None]
"""Raises AssertionError where what it is filed under is not true."""

DTYPES = ("float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool")
"""Of tensors that a device must hold."""
COMPUTED = ("float32", "int8", "int32", "int64", "uint8", "bool")
"""Of tensors that kernels must read and write; drivers may lack the others."""
SHAPES = ((), (1,), (7,), (0,), (0, 3), (3, 5), (1, 2, 3, 4), (101, 13))
EIGHT = TensorSpec("t", (8,))


@attrs.frozen
class Bench:
    """An open device, and the backend that it is of."""

    backend: Backend
    device: Device

    def kernel(self, body: str, *parameters: TensorSpec, axes: Sequence[int] = EIGHT.shape) -> Kernel:
        """Return such a kernel of the backend; see :func:`block_kernel`."""
        return block_kernel(self.backend, body, *parameters, axes=axes)

    def build(self, body: str, *parameters: TensorSpec, axes: Sequence[int] = EIGHT.shape) -> Any:
        """Return such a kernel, built."""
        return self.device.build(self.kernel(body, *parameters, axes=axes))

    def run(self, built: Any, arguments: Sequence[Array], *results: TensorSpec) -> list[Array]:
        """Return the results of a built kernel, in the order of its parameters."""
        tensors = [self.device.allocate(spec) for spec in results]
        self.device.launch(built, list(map(self.device.upload, arguments)), tensors)
        return [self.device.fetch(tensor) for tensor in tensors]


def require(holds: object, detail: object) -> None:
    """Raise AssertionError with some detail unless a value is true."""
    if not holds:
        raise AssertionError(str(detail))


def equal(found: Array, expected: Array, name: object) -> None:
    """Raise AssertionError unless arrays are equal in shape, dtype and every bit."""
    same = (found.shape, found.dtype, found.tobytes()) == (expected.shape, expected.dtype, expected.tobytes())
    require(same, f"{name} is {found!r}, not {expected!r}")


def numbers(shape: tuple[int, ...], dtype: str = "float32") -> Array:
    """Return an array of small whole numbers."""
    return (np.arange(np.prod(shape, dtype=np.int64)) % 100).reshape(shape).astype(dtype)
