"""Lists and chooses the OpenCL devices of this machine."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import Any

import attrs

from mutatenn import InputError, call_isolated

CURE = "pip install 'mutatenn[opencl]'"


@attrs.frozen
class Found:
    """An OpenCL device: its names, its place in the lists of platforms and devices, and what it can do.

    ``threads`` is the most in a work group, ``local`` the bytes of local memory. ``processor`` is LLVM's name
    of the processor that a CPU device generates code for, where the driver tells.
    """

    platform: str
    device: str
    version: str
    place: tuple[int, int]
    is_cpu: bool
    processor: str
    threads: int
    local: int

    def __str__(self) -> str:
        return f"{self.device} on {self.platform}"


@functools.cache
def find_devices() -> tuple[Found, ...]:
    """Return all devices; raises InputError where pyopencl is missing.

    A process of its own asks: drivers start threads for the question alone, and those do not survive a fork.
    """
    if find_spec("pyopencl") is None:
        raise InputError(f"pyopencl is not installed; {CURE}")
    return call_isolated(_list_devices)


def _list_devices() -> tuple[Found, ...]:
    import pyopencl as cl

    try:
        platforms = cl.get_platforms()
    except cl.Error:  # the loader's way to say that there is none
        return ()
    found = []
    for number, platform in enumerate(platforms):
        try:
            devices = platform.get_devices()
        except cl.Error:
            continue
        found += [_describe(platform, device, (number, n)) for n, device in enumerate(devices)]
    return tuple(found)


def _describe(platform: Any, device: Any, place: tuple[int, int]) -> Found:
    import pyopencl as cl

    return Found(
        platform.name.strip(),
        device.name.strip(),
        device.version.strip(),
        place,
        bool(device.type & cl.device_type.CPU),
        device.version.strip().rpartition("-")[2] if "PoCL" in device.version else "",
        int(device.max_work_group_size),
        int(device.local_mem_size),
    )


@functools.cache
def choose_device(platform: str, device: str) -> Found:
    """Return the first device that fits; raises InputError where none does.

    Both are parts of a name, in any case, or a number in the list of platforms, or of the platform's
    devices; empty, all fit.
    """
    devices = find_devices()
    if not devices:
        raise InputError(f"no OpenCL platform on this machine; {CURE} brings one for CPUs")
    for found in devices:
        if _fits(platform, found.platform, found.place[0]) and _fits(device, found.device, found.place[1]):
            return found
    wanted = f"platform {platform!r}, device {device!r}"
    raise InputError(f"no OpenCL device fits {wanted}; there is {', '.join(map(str, devices))}")


def _fits(wanted: str, name: str, number: int) -> bool:
    return number == int(wanted) if wanted.isdecimal() else wanted.lower() in name.lower()


def open_context(found: Found) -> Any:
    """Return a new pyopencl context of a device, in the process that is going to use it."""
    import pyopencl as cl

    platform, device = found.place
    try:
        return cl.Context([cl.get_platforms()[platform].get_devices()[device]])
    except (cl.Error, IndexError) as error:
        raise InputError(f"{found} cannot be opened: {error}") from error
