"""The contract of a backend: one kind of target, and a device that runs its kernels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np

from mutatenn.api.capability import Capability
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.api.program import Kernel
    from mutatenn.api.values import TensorSpec


class Device(ABC):
    """An open device: builds kernels, holds tensors, runs. Tensors and built kernels are opaque to core.

    Around a tensor stand the guards of :mod:`mutatenn.api.memory`, so that small accesses out of bounds do
    the same in every run and reach no other tensor. Every method may raise
    :class:`mutatenn.DeviceLostError`; what else :meth:`launch` raises, but TypeError and ValueError, is the
    kernel's own doing.
    """

    @abstractmethod
    def build(self, kernel: Kernel) -> Any:
        """Compile and load one kernel; raise :class:`mutatenn.BuildError` if the compiler rejects it."""

    @abstractmethod
    def upload(self, array: NDArray[np.generic]) -> Any:
        """Return a tensor with the array's shape, dtype and content."""

    @abstractmethod
    def allocate(self, spec: TensorSpec, *, poison: bool = True) -> Any:
        """Return a tensor; poisoned, it is full of ``memory.poison``, so that what is not written shows."""

    @abstractmethod
    def launch(self, built: Any, arguments: Sequence[Any], results: Sequence[Any]) -> None:
        """Run a built kernel and wait for it.

        Its parameters are arguments, which it only reads, then results, which it writes: each a tensor that
        may come from :meth:`allocate`, from an earlier launch, or from :meth:`upload`, results too, when a
        mutant is tried with another content of memory. A kernel that has a ``monitor`` (see
        :class:`mutatenn.Kernel`) gets that as the last of its results.
        """

    @abstractmethod
    def fetch(self, tensor: Any) -> NDArray[np.generic]:
        """Return a copy of the tensor's content."""

    def sketch(self, tensor: Any) -> bytes:
        """Return a few of the tensor's bytes, always the same places: those of equal tensors are equal.

        Spares most comparisons; empty where a look at a tensor costs as much as comparing it.
        """
        del tensor
        return b""

    @abstractmethod
    def same(self, one: Any, other: Any) -> bool:
        """Tell whether two tensors of equal shape and dtype are equal bit for bit."""

    def digest(self, tensor: Any) -> bytes:
        """Return what identifies the tensor's whole content: of other content it almost surely differs."""
        content = np.ascontiguousarray(self.fetch(tensor)).view(np.uint8).data
        return hashlib.blake2b(content, digest_size=8).digest()

    def load(self, path: Path, kernel: Kernel) -> Any:
        """Return a kernel that :meth:`Backend.export` built, from a ``.so`` file of that content."""
        raise NotImplementedError(f"this device loads no kernels from files ({path}, {kernel.name})")

    def close(self) -> None:  # noqa: B027  # most have nothing to give back
        """Give the device back; called once, after which nothing else is."""


@attrs.frozen(kw_only=True)
class Backend(Capability):
    """Describes one kind of target; its fields are the options of an environment."""

    shares_fork: ClassVar[bool] = True
    """Whether a process that is forked from one that has a device open can go on using it."""
    sources: ClassVar[tuple[str, ...]] = ()
    """The kinds of generated code that :meth:`source` gives, the one closest to the device last."""

    @property
    def executor(self) -> str:
        """Name of the executor that suits its devices; another's, where a plugin brings one."""
        return "fork" if self.shares_fork else "worker"

    @property
    def places(self) -> int | None:
        """How many of its devices can be open at a time; None: as many as are wanted."""
        return None if self.shares_fork else 1

    @abstractmethod
    def target(self) -> Any:
        """Return the compiler target (for TVM backends a ``tvm.target.Target``)."""

    def schedule(self, function: Any) -> Any:
        """Return the scheduled form of one schedulable kernel; by default, unscheduled."""
        return function

    def schedule_identity(self) -> str:
        """Return what :meth:`schedule` depends on but for kernel and target: its code and options.

        Under it the results are remembered on disk. By default empty: never remembered.
        """
        return ""

    def source(self, kernel: Kernel, kind: str) -> str:
        """Return the code generated for a kernel, as text of one of the kinds in :attr:`sources`.

        Kernels of equal text compute the same; nothing in it depends on the kernel's name. Raises BuildError,
        and InputError where a tool that this kind needs is missing.
        """
        raise NotImplementedError(f"backend {self.name} has no source of {kernel.name} of kind {kind}")

    @abstractmethod
    def open(self) -> Device:
        """Open the device in the process that is going to use it.

        Raises :class:`mutatenn.InputError` when this machine has no such device.
        """

    def export(self, kernel: Kernel) -> bytes:
        """Return a kernel built for a device that is elsewhere, as the content of a file.

        Raises BuildError, and InputError where this kind of backend cannot do that.
        """
        raise InputError(f"backend {self.name} cannot build {kernel.name} for elsewhere; use llvm")

    def open_elsewhere(self) -> Device:
        """Open the device on its own machine, where kernels are loaded but not built."""
        return self.open()

    @classmethod
    @abstractmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell whether this machine can build and run here, and one line of detail (``doctor``)."""
