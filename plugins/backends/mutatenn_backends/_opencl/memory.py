"""Tensors in an OpenCL device's memory, each between two guards of known bytes."""

from __future__ import annotations

import contextlib
from math import lcm
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mutatenn import TensorSpec

FOLDED = 1024  # 64-bit words in a row of a digest
BITS = 8


@attrs.frozen(eq=False)
class Tensor:
    """A tensor: its part of a buffer, which has the guards around it."""

    spec: TensorSpec
    part: Any
    whole: Any


@attrs.frozen(eq=False)
class Memory:
    """Makes, fills and reads tensors through one command queue.

    ``shared`` tells that the device works in the host's memory, so that the host may look at a tensor where
    it lies.
    """

    context: Any
    queue: Any
    shared: bool
    guard: int

    @classmethod
    def of(cls, context: Any, queue: Any) -> Memory:
        """Return the memory of the context's device."""
        (device,) = context.devices
        guard = lcm(memory.GUARD, max(1, device.mem_base_addr_align // BITS))
        return cls(context, queue, bool(device.host_unified_memory), guard)

    def allocate(self, spec: TensorSpec) -> Tensor:
        """Return a tensor of whatever content, between guards; raises MemoryError."""
        import pyopencl as cl

        size = max(1, spec.nbytes)
        with memory_errors():
            whole = cl.Buffer(self.context, cl.mem_flags.READ_WRITE, self.guard + size + self.guard)
            for start in (0, self.guard + size):
                self._fill(whole, np.uint8(memory.GUARD_BYTE), start, self.guard)
        return Tensor(spec, whole.get_sub_region(self.guard, size), whole)

    def poison(self, tensor: Tensor) -> None:
        """Fill a tensor with NaN, integers with their largest."""
        if tensor.spec.nbytes:
            self._fill(tensor.part, memory.poison(np.dtype(tensor.spec.dtype)), 0, tensor.spec.nbytes)

    def _fill(self, buffer: Any, pattern: np.generic, start: int, size: int) -> None:
        import pyopencl as cl

        cl.enqueue_fill_buffer(self.queue, buffer, pattern, start, size)

    def write(self, tensor: Tensor, array: NDArray[np.generic]) -> None:
        """Copy an array of the tensor's shape and dtype into it."""
        import pyopencl as cl

        if tensor.spec.nbytes:
            cl.enqueue_copy(self.queue, tensor.part, np.ascontiguousarray(array), is_blocking=True)

    def read(self, tensor: Tensor) -> NDArray[np.generic]:
        """Return a copy of the content."""
        import pyopencl as cl

        array: NDArray[np.generic] = np.empty(tensor.spec.shape, tensor.spec.dtype)
        if array.nbytes:
            cl.enqueue_copy(self.queue, array, tensor.part, is_blocking=True)
        return array

    @contextlib.contextmanager
    def view(self, tensor: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Yield the content as bytes, to be looked at meanwhile; a copy where memory is not shared."""
        import pyopencl as cl

        if not self.shared or not tensor.spec.nbytes:
            yield self.read(tensor).reshape(-1).view(np.uint8)
            return
        shape = (tensor.spec.nbytes,)
        array, _ = cl.enqueue_map_buffer(self.queue, tensor.part, cl.map_flags.READ, 0, shape, np.uint8)
        try:
            yield array
        finally:
            array.base.release(self.queue)


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError where the device has none left, or never has as much at once."""
    import pyopencl as cl

    try:
        yield
    except cl.Error as error:
        if isinstance(error, cl.MemoryError) or error.code == cl.status_code.INVALID_BUFFER_SIZE:
            raise MemoryError(str(error)) from error
        raise


def fold(content: NDArray[np.uint8]) -> bytes:
    """Return sums that tell contents apart, at the speed of memory.

    The bytes are laid out as a table of 64-bit words, the sums are those of its columns and of its rows. A
    change within one row is sure to change them, and so is an exchange of two words; others cancel out only
    if they do so in each row and in each column.
    """
    row = FOLDED * 8
    table = content[: len(content) // row * row].view(np.uint64).reshape(-1, FOLDED)
    columns, rows = (np.asarray(np.add.reduce(table, axis=axis)).tobytes() for axis in (0, 1))
    return columns + rows + content[len(content) // row * row :].tobytes()
