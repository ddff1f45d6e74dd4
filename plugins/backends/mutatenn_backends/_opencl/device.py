"""Runs generated kernels on one OpenCL device."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import BuildError, Device, DeviceLostError, TensorSpec, memory
from mutatenn_backends._opencl.code import generate
from mutatenn_backends._opencl.memory import Memory, Tensor, fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mutatenn import DeviceCode, Kernel, Launch

DEVICE_NOT_AVAILABLE = -2
# What drivers say to the next command once a kernel has brought a device down.
FALLEN = {DEVICE_NOT_AVAILABLE, -5, -34, -36}  # out of resources, invalid context, invalid command queue


@attrs.define(eq=False)
class Built:
    """A kernel's launches, each with its compiled device kernel; and its scratch tensors once it has run."""

    code: DeviceCode
    launches: list[tuple[Launch, Any]]
    scratch: list[Tensor] | None = None


class OpenClDevice(Device):
    """An OpenCL device, in this process."""

    def __init__(self, context: Any, target: Any) -> None:
        import pyopencl as cl

        self.context, self.target = context, target
        self.queue = cl.CommandQueue(context)
        self.memory = Memory.of(context, self.queue)

    def build(self, kernel: Kernel) -> Built:
        """Generate OpenCL C and have the driver compile it."""
        code = generate(kernel, self.target)
        program = self._compile(code.source)
        compiled = {each.function_name: each for each in program.all_kernels()}
        return Built(code, [(launch, compiled[launch.kernel]) for launch in code.launches])

    def _compile(self, source: str) -> Any:
        import pyopencl as cl

        try:
            with warnings.catch_warnings(), losses(FALLEN):
                warnings.simplefilter("ignore")  # what the compiler remarks about code that it accepts
                return cl.Program(self.context, source).build()
        except cl.RuntimeError as error:
            raise BuildError(_reason(str(error))) from error

    def upload(self, array: NDArray[np.generic]) -> Tensor:
        """Copy an array between guards."""
        with losses(FALLEN):
            tensor = self.memory.allocate(TensorSpec("", array.shape, str(array.dtype)))
            self.memory.write(tensor, array)
        return tensor

    def allocate(self, spec: TensorSpec, *, poison: bool = True) -> Tensor:
        """Return a tensor, if poisoned of NaN, or of the largest value for integers."""
        with losses(FALLEN):
            tensor = self.memory.allocate(spec)
            if poison:
                self.memory.poison(tensor)
        return tensor

    def launch(self, built: Built, arguments: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Run the device kernels one after the other and wait for the last."""
        import pyopencl as cl

        tensors = [*arguments, *results]
        _check(built.code.parameters, tensors)
        if built.scratch is None:  # poisoned once: what a faulty kernel leaves unwritten stays so
            built.scratch = [self.allocate(spec) for spec in built.code.scratch]
        parts = [tensor.part for tensor in (*tensors, *built.scratch)]
        with losses({DEVICE_NOT_AVAILABLE}):
            events = [
                compiled(
                    self.queue,
                    tuple(blocks * threads for blocks, threads in zip(each.grid, each.block, strict=True)),
                    each.block,
                    *(parts[number] for number in each.arguments),
                )
                for each, compiled in built.launches
            ]
            cl.wait_for_events(events)

    def fetch(self, tensor: Tensor) -> NDArray[np.generic]:
        """Copy the content."""
        with losses(FALLEN):
            return self.memory.read(tensor)

    def sketch(self, tensor: Tensor) -> bytes:
        """Return some elements, spread over the tensor, where the host can look at them."""
        if not self.memory.shared:
            return b""
        with losses(FALLEN), self.memory.view(tensor) as content:
            return memory.sketched(content.view(tensor.spec.dtype)).tobytes()

    def same(self, one: Tensor, other: Tensor) -> bool:
        """Compare bytes."""
        with losses(FALLEN), self.memory.view(one) as content, self.memory.view(other) as others:
            return bool(np.array_equal(_words(content), _words(others)))

    def digest(self, tensor: Tensor) -> bytes:
        """Return a digest that notices every change of a few neighbouring words, and nearly every other."""
        with losses(FALLEN), self.memory.view(tensor) as content:
            return hashlib.blake2b(fold(content), digest_size=8).digest()

    def close(self) -> None:
        """Wait for the device; its memory goes with the tensors."""
        with losses(FALLEN):
            self.queue.finish()


def _words(content: NDArray[np.uint8]) -> NDArray[np.generic]:
    """Return bytes as the widest integers that they fill."""
    return content.view(np.uint64) if content.size % 8 == 0 else content


def _check(parameters: Sequence[TensorSpec], tensors: Sequence[Tensor]) -> None:
    if len(tensors) != len(parameters):
        raise TypeError(f"{len(tensors)} tensors for {len(parameters)} parameters")
    for number, (spec, tensor) in enumerate(zip(parameters, tensors, strict=True)):
        given = tensor.spec
        if (given.shape, given.dtype) != (spec.shape, spec.dtype):
            raise ValueError(f"argument #{number} is {given}, the kernel takes {spec}")


@contextlib.contextmanager
def losses(codes: set[int]) -> Iterator[None]:
    """Raise DeviceLostError for OpenCL errors of these codes."""
    import pyopencl as cl

    try:
        yield
    except cl.Error as error:
        if error.code in codes:
            raise DeviceLostError(f"the OpenCL device is gone: {error}") from error
        raise


def _reason(log: str) -> str:
    """Return the compiler's first complaint."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[0] if lines else "no reason given")
