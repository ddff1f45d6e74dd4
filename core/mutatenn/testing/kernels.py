"""Kernels written down as what they do to an element."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mutatenn.api.program import Kernel
from mutatenn.compiler import ir
from mutatenn.compiler.kernels import lower_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn.api.backend import Backend
    from mutatenn.api.values import TensorSpec


def block_kernel(backend: Backend, body: str, *parameters: TensorSpec, axes: Sequence[int]) -> Kernel:
    """Return a kernel of parameters A, B, ..., scheduled: one block over v0, v1, ... of these extents."""
    names = zip("ABCD", parameters, strict=False)
    typed = ", ".join(f'{name}: T.Buffer({spec.shape}, "{spec.dtype}")' for name, spec in names)
    loops = ", ".join(f"i{number}" for number in range(len(axes)))
    extents = ", ".join(map(str, axes))
    variables = [f"v{number} = T.axis.spatial({size}, i{number})" for number, size in enumerate(axes)]
    lines = "\n            ".join([*variables, *body.splitlines()])
    source = f"""
@T.prim_func(private=True, s_tir=True)
def main({typed}):
    for {loops} in T.grid({extents}):
        with T.sblock("block"):
            {lines}
"""
    target = backend.target()
    scheduled = backend.schedule(ir.script.from_source(source))
    digest = hashlib.blake2b(f"{target} {source}".encode(), digest_size=16).hexdigest()
    return Kernel(digest, "check", lower_kernel(scheduled, target))
