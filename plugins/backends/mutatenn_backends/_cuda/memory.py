"""Tensors in a device's memory, each between two guards of known bytes."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import ir, memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODES = {"i": 0, "u": 1, "f": 2, "b": 6}  # DLPack's, by numpy's kinds


class _Shared(ctypes.Structure):
    """DLPack's DLManagedTensor: how one library hands a tensor to another."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


# What a tensor that was handed over stands on, by its description's address, until its last user is gone.
_foundations: dict[int, Any] = {}
_release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_foundations.__delitem__)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)


def place(device: Any, shape: tuple[int, ...], dtype: np.dtype[Any], content: NDArray[Any] | None) -> Any:
    """Return a tensor of this content, or of that of the guards, in the middle of an allocation."""
    image, part = memory.between_guards(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    part[:] = memory.GUARD_BYTE if content is None else content.reshape(-1).view(np.uint8)
    return _within(ir.tvm.runtime.tensor(image, device), shape, dtype)


def _within(whole: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return the tensor that begins behind an allocation's first guard, which it keeps alive.

    TVM's own views remember where they begin as an offset, and kernels take none.
    """
    extents = (ctypes.c_int64 * len(shape))(*shape)
    shared = _Shared(
        data=whole.data_ptr() + memory.GUARD,
        device_type=whole.device.dlpack_device_type(),
        device_id=whole.device.index,
        ndim=len(shape),
        code=CODES[dtype.kind],
        bits=8 * dtype.itemsize,
        lanes=1,
        shape=extents,
        deleter=ctypes.cast(_release, ctypes.c_void_p).value,
    )
    address = ctypes.addressof(shared)
    _foundations[address] = (shared, extents, whole)
    return ir.ffi.from_dlpack(_Handover(address, (shared.device_type, shared.device_id)))


class _Handover:
    """Offers a tensor by DLPack's protocol."""

    def __init__(self, address: int, device: tuple[int, int]) -> None:
        self.address, self.device = address, device

    def __dlpack__(self, **_: Any) -> Any:
        return _new_capsule(self.address, b"dltensor", None)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device
