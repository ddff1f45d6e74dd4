"""A compiled classifier as a straight list of kernel calls."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.values import Layer, TensorSpec


@attrs.define(eq=False)
class Kernel:
    """One piece of code a backend can build, in the form that is handed to code generation.

    ``digest`` (hex) identifies everything that decides the generated code: the IR's structure, the target
    and the build options; two kernels with equal digests are the same kernel. ``name`` is for people.
    ``checksum`` (hex) is that of its IR's text where it is known; then ``lower`` may make the IR when it is
    asked for. ``plain`` is the same kernel without what only mutants get, None where there is nothing of it
    in here. A ``watched`` kernel is one that a fault was put into: what it computes is compared under two
    contents of memory that it must not read. ``monitor`` are the accesses that may leave their buffers, as
    text, where the kernel takes a monitor as its last parameter (see :mod:`mutatenn.compiler.monitor`).
    """

    digest: str
    name: str
    _ir: Any = None
    checksum: str = ""
    lower: Callable[[], Any] | None = None
    plain: Kernel | None = None
    watched: bool = False
    monitor: tuple[str, ...] | None = None

    @property
    def ir(self) -> Any:
        """A lowered TIR PrimFunc, or a Relax IRModule where a model is more than a list of kernels."""
        if self._ir is None and self.lower is not None:
            self._ir = self.lower()
        return self._ir


@attrs.frozen(eq=False)
class Constant:
    """A weight or other constant; ``digest`` (hex) identifies dtype, shape and content."""

    digest: str
    value: NDArray[np.generic]


@attrs.frozen(eq=False)
class Call:
    """Runs a kernel on values, in the order (arguments, results) of the kernel's parameters.

    ``layers`` are those of the user's network that the kernel computes here, as far as the frontend tells.
    """

    kernel: Kernel
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    layers: tuple[Layer, ...] = ()


@attrs.frozen(eq=False)
class Program:
    """Kernels, calls, constants and shapes: all that is needed to run a classifier on one image.

    Values are numbered; ``values[i]`` is the spec of value ``i``. Every value is the input, a constant, or
    the result of exactly one call, and calls stand in an order in which they can run.
    """

    values: tuple[TensorSpec, ...]
    input: int
    output: int
    constants: dict[int, Constant]
    calls: tuple[Call, ...]

    @property
    def kernels(self) -> dict[str, Kernel]:
        """The distinct kernels by digest, in order of first use."""
        return {call.kernel.digest: call.kernel for call in self.calls}

    @property
    def identity(self) -> str:
        """Identifies (hex) all that the output depends on: kernels, constants, and how they are wired."""
        names = {value: constant.digest for value, constant in self.constants.items()} | {self.input: "image"}
        for call in self.calls:
            source = " ".join([call.kernel.digest, *(names[value] for value in call.arguments)])
            name = hashlib.blake2b(source.encode(), digest_size=16).hexdigest()
            names.update({value: f"{name}.{index}" for index, value in enumerate(call.results)})
        return names[self.output]

    @property
    def result_bytes(self) -> int:
        """What the results of all calls take for one image."""
        return sum(self.values[value].nbytes for call in self.calls for value in call.results)
