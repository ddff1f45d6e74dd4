"""Checks what the devices of a backend promise, for its author's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import DeviceLostError, InfrastructureError, InputError
from mutatenn.testing.devices.bench import Bench
from mutatenn.testing.devices.comparisons import COMPARISONS
from mutatenn.testing.devices.guards import GUARDS
from mutatenn.testing.devices.kernels import KERNELS
from mutatenn.testing.devices.sharing import SHARING
from mutatenn.testing.devices.tensors import TENSORS
from mutatenn.testing.promises import keeping

if TYPE_CHECKING:
    from mutatenn.api.backend import Backend
    from mutatenn.testing.devices.bench import Check

ABSENT = (InputError, DeviceLostError)
"""What a backend raises where there is no device."""


def check_device(backend: Backend, *, guards: bool = True) -> None:
    """Check a backend's device: tensors, comparisons, kernels, errors; and that it can be opened again.

    ``guards`` says that it promises those of :mod:`mutatenn.api.memory` around its tensors. The device is
    opened in processes of their own. Raises AssertionError that names the promise which is broken, and
    InputError or DeviceLostError where there is no device.
    """
    checks = TENSORS | COMPARISONS | KERNELS | (GUARDS if guards else {}) | SHARING
    try:
        call_isolated(lambda: _check(backend, checks))
        call_isolated(lambda: _check(backend, TENSORS))
    except ABSENT:
        raise
    except InfrastructureError as error:
        raise AssertionError(f"not true: {backend.name}: its process ends well; {error}") from error


def _check(backend: Backend, checks: dict[str, Check]) -> None:
    with keeping(f"{backend.name}: a device opens, again and again", *ABSENT):
        bench = Bench(backend, backend.open())
    for promise, check in checks.items():
        with keeping(f"{backend.name}: {promise}", *ABSENT):
            check(bench)
    with keeping(f"{backend.name}: a device closes", *ABSENT):
        bench.device.close()
