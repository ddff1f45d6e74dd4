"""An accelerator whose floats are short, emulated on this processor."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import attrs

from mutatenn import (
    Backend,
    BuildError,
    Device,
    Kernel,
    WrappedBackend,
    WrappedDevice,
    hookimpl,
    installed_backend,
    ir,
)

FRACTION = 23
"""Bits of a float32 behind its binary point."""


class ShortFloatsDevice(WrappedDevice):
    """The processor, but all that a kernel stores as float32 keeps few bits of its fraction."""

    def __init__(self, device: Device, bits: int) -> None:
        super().__init__(device)
        self.bits = bits

    def build(self, kernel: Kernel) -> Any:
        """Build the kernel with short stores; raise BuildError for a model that is no list of kernels."""
        return super().build(shortened(kernel, self.bits))


@attrs.frozen(kw_only=True)
class ShortFloats(WrappedBackend):
    """An emulated accelerator that stores float32 with few bits.

    ``bits`` are those of the fraction that are kept, 1 to 23, the others cut off: 7 as in bfloat16, 10 as in
    TF32. What is summed up is stored after every step.
    """

    name = "short-floats"
    sources = ("llvm", "asm")
    bits: int = attrs.field(default=10, validator=[attrs.validators.ge(1), attrs.validators.le(FRACTION)])
    backend: Backend = attrs.field(init=False, factory=functools.partial(installed_backend, "llvm"))

    def schedule_identity(self) -> str:
        """Return what is remembered of the processor's kernels, and the bits."""
        return f"{super().schedule_identity()} {self.bits}"

    def source(self, kernel: Kernel, kind: str) -> str:
        """Return the code of the kernel with short stores."""
        return super().source(shortened(kernel, self.bits), kind)

    def open(self) -> Device:
        """Open the processor."""
        return ShortFloatsDevice(self.backend.open(), self.bits)

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell what the processor can do."""
        works, detail = installed_backend("llvm").diagnose()
        return works, f"emulated; {detail}"


def shortened(kernel: Kernel, bits: int) -> Kernel:
    """Return a kernel that cuts what it stores, with a digest of its own: kernels are kept by these."""
    if not isinstance(kernel.ir, ir.tirx.PrimFunc):
        raise BuildError(f"{kernel.name} is a whole model; short floats are emulated kernel by kernel")
    cut = functools.partial(_cut, mask=(0xFFFFFFFF << (FRACTION - bits)) & 0xFFFFFFFF)
    body = ir.ffi.structural_map(kernel.ir.body, (ir.tirx.BufferStore, cut), order="post")
    digest = hashlib.blake2b(f"{kernel.digest} {bits}".encode(), digest_size=16).hexdigest()
    return Kernel(digest, kernel.name, kernel.ir.with_body(body))


def _cut(store: Any, mask: int) -> Any:
    dtype = store.value.ty.dtype
    if not str(dtype).startswith("float32"):
        return store
    words = str(dtype).replace("float", "uint")
    kept = ir.tirx.bitwise_and(ir.tirx.reinterpret(words, store.value), ir.tirx.const(mask, words))
    return ir.tirx.BufferStore(store.buffer, ir.tirx.reinterpret(str(dtype), kept), store.indices)


@hookimpl
def mutatenn_backends() -> list[type[Backend]]:
    """Contribute the backend."""
    return [ShortFloats]
