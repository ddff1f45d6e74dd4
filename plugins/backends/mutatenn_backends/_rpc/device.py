"""The processor behind one RPC session: tensors stay there, only what must crosses the wire."""

from __future__ import annotations

import contextlib
import ctypes
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import (
    BuildError,
    Device,
    DeviceLostError,
    InfrastructureError,
    TensorSpec,
    ir,
    kernel_library,
    kernel_symbol,
    memory,
)
from mutatenn_backends._rpc.library import MARGIN, WORD, machine_library

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mutatenn import Kernel

GUARD = int.from_bytes(bytes([memory.GUARD_BYTE] * WORD), "little")
REMOTE = "RPCError: Error caught from RPC call:"
"""How TVM begins the message of what was raised on the server: the session goes on."""
EXPIRED = "session has expired"
MISFIT = "when calling:"
"""Stands in the message of a kernel that was given other arguments than it takes."""


@attrs.frozen(eq=False)
class Buffer:
    """Memory of the server between two guards, see :mod:`mutatenn_backends._rpc.library`.

    ``whole`` is all of it as words, ``content`` the tensor that stands in it, of ``size`` bytes.
    """

    whole: Any
    content: Any
    words: int
    size: int


@attrs.frozen(eq=False)
class Tensor:
    """A tensor on the server, which leaves its buffer to the next of its kind."""

    buffer: Buffer
    spares: list[Buffer]

    def __del__(self) -> None:
        """Leave the buffer."""
        self.spares.append(self.buffer)


class RemoteCpu(Device):
    """The processor of a server, for the time of one session.

    ``helpers`` is what :func:`mutatenn_backends._rpc.library.helper_library` makes for the target, ``where``
    names the server. Raises what :func:`losses` raises.
    """

    def __init__(self, session: Any, target: Any, helpers: bytes, where: str) -> None:
        self.session, self.target, self.where = session, target, where
        self._spares: dict[tuple[tuple[int, ...], str], list[Buffer]] = {}
        self._view = ir.tvm.get_global_func("tvm.rpc.TensorFromRemoteOpaqueHandle")
        with losses(where):
            self._cpu = session.cpu()
            self._remove = session.get_function("tvm.rpc.server.remove")
            loaded = self._load("helpers.so", helpers)
            self._address, self._prepare = loaded["address"], loaded["prepare"]
            self._differ, self._digest, self._sample = loaded["differ"], loaded["digest"], loaded["sample"]

    def build(self, kernel: Kernel) -> Any:
        """Compile and link here, and load there."""
        if not kernel.checksum and isinstance(kernel.ir, ir.tvm.IRModule):
            return self._build_machine(kernel)
        library, symbol = kernel_library(kernel, self.target), kernel_symbol(kernel)
        with self._loading():
            return self._load(f"{symbol}.so", library)[symbol]

    def upload(self, array: NDArray[np.generic]) -> Tensor:
        """Copy an array to the server."""
        tensor = self.allocate(TensorSpec("", array.shape, str(array.dtype)), poison=False)
        with losses(self.where):
            tensor.buffer.content.copyfrom(array)
        return tensor

    def allocate(self, spec: TensorSpec, *, poison: bool = True) -> Tensor:
        """Return a tensor, if poisoned of NaN, or of the largest value for integers."""
        spares = self._spares.setdefault((spec.shape, spec.dtype), [])
        with losses(self.where):
            buffer = spares.pop() if spares else self._reserve(spec)
            pattern = _poison(np.dtype(spec.dtype)) if poison else 0
            self._prepare(buffer.words, buffer.whole, buffer.size, GUARD, int(poison), pattern)
        return Tensor(buffer, spares)

    def launch(self, built: Any, arguments: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Call the kernel, which returns when it is done."""
        with losses(self.where):
            built(*(tensor.buffer.content for tensor in (*arguments, *results)))

    def fetch(self, tensor: Tensor) -> NDArray[np.generic]:
        """Copy the content from the server."""
        with losses(self.where):
            content: NDArray[np.generic] = tensor.buffer.content.numpy()
        return content

    def sketch(self, tensor: Tensor) -> bytes:
        """Return a digest of some elements, spread over the tensor."""
        return self._fold(self._sample, tensor.buffer)

    def same(self, one: Tensor, other: Tensor) -> bool:
        """Compare all bits on the server."""
        with losses(self.where):
            return not self._differ(one.buffer.words, one.buffer.whole, other.buffer.whole, one.buffer.size)

    def digest(self, tensor: Tensor) -> bytes:
        """Return 64 bits computed of the content on the server."""
        return self._fold(self._digest, tensor.buffer)

    def close(self) -> None:
        """End the session, so that the server is free."""
        close_session(self.session)

    def _fold(self, helper: Any, buffer: Buffer) -> bytes:
        with losses(self.where):
            number: int = helper(buffer.words, buffer.whole, buffer.size)
        return number.to_bytes(WORD, "little", signed=True)

    def _reserve(self, spec: TensorSpec) -> Buffer:
        words = MARGIN + spec.nbytes // WORD + 1 + MARGIN
        whole = ir.tvm.runtime.empty((words,), "uint64", self._cpu)
        address = self._address(words, whole).value + MARGIN * WORD
        form = ir.tvm.runtime.empty(spec.shape, spec.dtype)  # never touched, so it takes no memory
        nobody = ctypes.c_void_p(None)  # owns the content: it is part of the whole
        content = self._view(self.session._sess, ctypes.c_void_p(address), form, self._cpu, nobody)
        return Buffer(whole, content, words, spec.nbytes)

    def _load(self, name: str, library: bytes) -> Any:
        self.session.upload(bytearray(library), name)
        module = self.session.load_module(name)
        self._remove(name)  # it stays loaded
        return module

    def _build_machine(self, kernel: Kernel) -> Any:
        library = machine_library(kernel, self.target)
        with self._loading():
            module = self._load(f"m_{kernel.digest}.so", library)
            machine = ir.relax.VirtualMachine(module, self._cpu)

        def call(*contents: Any) -> None:
            machine.set_input("main", *contents[:-1])
            machine.invoke_stateful("main")
            machine.get_outputs("main").copyto(contents[-1])

        return call

    @contextlib.contextmanager
    def _loading(self) -> Iterator[None]:
        try:
            with losses(self.where):
                yield
        except RuntimeError as error:
            raise BuildError(f"{self.where} cannot load the code: {error}") from error


@contextlib.contextmanager
def losses(where: str) -> Iterator[None]:
    """Tell what TVM raises apart.

    Raises DeviceLostError where the session is over, InfrastructureError where its time was, ValueError where
    arguments do not fit a kernel, and RuntimeError with its text for what else was raised on the server.
    """
    try:
        yield
    except RuntimeError as error:  # what TVM raises of its own
        text = str(error)
        if EXPIRED in text:
            raise InfrastructureError(f"{where} ended the session; set a longer session_timeout") from error
        if not text.startswith(REMOTE):
            raise DeviceLostError(f"the session with {where} ended: {' '.join(text.split())}") from error
        text = text[len(REMOTE) :].strip()
        raise (ValueError if MISFIT in text else RuntimeError)(text) from error


def close_session(session: Any) -> None:
    """End a session, if it has not ended."""
    with contextlib.suppress(RuntimeError):
        session.get_function("CloseRPCConnection")()


def _poison(dtype: np.dtype[Any]) -> int:
    content = np.full(WORD // dtype.itemsize, memory.poison(dtype)).tobytes()
    return int.from_bytes(content, "little", signed=True)
