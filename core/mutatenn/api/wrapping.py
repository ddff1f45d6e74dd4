"""Devices and backends that do as others do, but for what a subclass does otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.backend import Backend, Device

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.program import Kernel
    from mutatenn.api.values import TensorSpec


class WrappedDevice(Device):
    """A device that passes everything on to another, its tensors and built kernels included."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def build(self, kernel: Kernel) -> Any:
        """Pass on."""
        return self.device.build(kernel)

    def upload(self, array: NDArray[np.generic]) -> Any:
        """Pass on."""
        return self.device.upload(array)

    def allocate(self, spec: TensorSpec, *, poison: bool = True) -> Any:
        """Pass on."""
        return self.device.allocate(spec, poison=poison)

    def launch(self, built: Any, arguments: Sequence[Any], results: Sequence[Any]) -> None:
        """Pass on."""
        self.device.launch(built, arguments, results)

    def fetch(self, tensor: Any) -> NDArray[np.generic]:
        """Pass on."""
        return self.device.fetch(tensor)

    def sketch(self, tensor: Any) -> bytes:
        """Pass on."""
        return self.device.sketch(tensor)

    def same(self, one: Any, other: Any) -> bool:
        """Pass on."""
        return self.device.same(one, other)

    def digest(self, tensor: Any) -> bytes:
        """Pass on."""
        return self.device.digest(tensor)

    def load(self, path: Path, kernel: Kernel) -> Any:
        """Pass on."""
        return self.device.load(path, kernel)

    def close(self) -> None:
        """Pass on."""
        self.device.close()


@attrs.frozen(kw_only=True)
class WrappedBackend(Backend):
    """A backend that compiles as another, ``backend``, does; a subclass opens a device of its own.

    What a class says, ``shares_fork`` and ``sources``, it says itself: of the kinds of another's sources it
    has those that it lists. It exports nothing.
    """

    backend: Backend

    @property
    def places(self) -> int | None:
        """As many as there are of the other."""
        return self.backend.places

    def target(self) -> Any:
        """Pass on."""
        return self.backend.target()

    def schedule(self, function: Any) -> Any:
        """Pass on."""
        return self.backend.schedule(function)

    def schedule_identity(self) -> str:
        """Pass on."""
        return self.backend.schedule_identity()

    def source(self, kernel: Kernel, kind: str) -> str:
        """Pass on."""
        return self.backend.source(kernel, kind)
