"""Index bugs: off by one, or narrowed until it wraps around."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import attrs

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.options import number
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators._shared.tir import extents_of, integer, integer_like, moving_axis, with_index

_REGION = "apache/tvm#11201: [TIR] Fix an index out of bound issue of compact buffer region"
_INT32 = (
    "pytorch/torchdynamo#1821: Inductor - resnet18 - CUDA error: an illegal memory access was encountered"
)


@attrs.frozen(kw_only=True)
class WrongIndex(KernelMutator):
    """Access another element than meant, on the last axis that has more than one."""

    groups = ("bugs",)

    def matches(self, node: Any) -> bool:
        """Accept accesses to more than one element; for others the index says nothing."""
        axis = moving_axis(node)
        return axis is not None and self.errs(extents_of(node)[axis])

    def errs(self, extent: int | None) -> bool:
        """Tell whether an index of an axis of this extent (None: unknown) can go wrong."""
        del extent
        return True

    def rewrite(self, node: Any) -> Any:
        """Return the access at the wrong index."""
        axis = moving_axis(node) or 0
        return with_index(node, axis, self.wrong(node.indices[axis], extents_of(node)[axis]))

    @abstractmethod
    def wrong(self, index: Any, extent: int | None) -> Any:
        """Return the wrong index, of an axis of this extent (None: unknown)."""


@attrs.frozen(kw_only=True)
class OffBy(WrongIndex):
    """Raise an index by ``amount``."""

    origin = _REGION
    shown: ClassVar[str]
    """What becomes of ``B[i] = A[i]``."""
    amount: int = attrs.field(default=1, validator=number("a number other than 0", lambda n: n != 0))

    def wrong(self, index: Any, extent: int | None) -> Any:
        """Return index + amount."""
        del extent
        return index + integer_like(self.amount, index)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one access."""
        return [Example(kernel("B[i] = A[i]"), kernel(cls.shown))]


@attrs.frozen(kw_only=True)
class OffByClamped(OffBy):
    """Raise an index by ``amount``, but not beyond the axis."""

    def matches(self, node: Any) -> bool:
        """Leave out accesses of known place at that end of the axis, which stay there."""
        if not super().matches(node):
            return False
        axis = moving_axis(node) or 0
        place, extent = integer(node.indices[axis]), extents_of(node)[axis]
        return place is None or integer(self.wrong(node.indices[axis], extent)) != place

    def errs(self, extent: int | None) -> bool:
        """Accept axes of known extent."""
        return extent is not None

    def wrong(self, index: Any, extent: int | None) -> Any:
        """Return index + amount, between 0 and the last index."""
        raised = index + integer_like(self.amount, index)
        if self.amount < 0:
            return ir.tirx.max(raised, integer_like(0, index))
        return ir.tirx.min(raised, integer_like((extent or 1) - 1, index))


@attrs.frozen(kw_only=True)
class OffByOneLoad(OffBy):
    """Load the element after the one meant, also beyond the end of the axis.

    ``amount`` is how far off the index is, 1 or any other number. At the end of the last row the load is out
    of bounds.
    """

    name = "off-by-one-load"
    nodes = ("TensorLoad",)
    shown = "B[i] = A[i + 1]"


@attrs.frozen(kw_only=True)
class OffByOneLoadClamped(OffByClamped):
    """Load the element after the one meant, at the end of the axis the last one.

    ``amount`` is how far off the index is, 1 or any other number.
    """

    name = "off-by-one-load-clamped"
    nodes = ("TensorLoad",)
    shown = "B[i] = A[T.min(i + 1, 7)]"


@attrs.frozen(kw_only=True)
class OffByOneStore(OffBy):
    """Store to the element after the one meant, also beyond the end of the axis.

    ``amount`` is how far off the index is, 1 or any other number. At the end of the last row the store is out
    of bounds.
    """

    name = "off-by-one-store"
    nodes = ("BufferStore",)
    shown = "B[i + 1] = A[i]"


@attrs.frozen(kw_only=True)
class OffByOneStoreClamped(OffByClamped):
    """Store to the element after the one meant, at the end of the axis to the last one.

    ``amount`` is how far off the index is, 1 or any other number.
    """

    name = "off-by-one-store-clamped"
    nodes = ("BufferStore",)
    shown = "B[T.min(i + 1, 7)] = A[i]"


@attrs.frozen(kw_only=True)
class NarrowIndex(WrongIndex):
    """Compute an index in a signed integer type of ``bits`` bits, where it wraps around."""

    stage = "lowered"
    origin = _INT32
    shown: ClassVar[str]
    """What becomes of ``B[i] = A[i]``, but for the index."""
    bits: int = attrs.field(default=8, validator=attrs.validators.in_((8, 16, 32)))
    needs = "index beyond what the type can count"

    def matches(self, node: Any) -> bool:
        """Accept indices that may be more than the type can count."""
        if not super().matches(node):
            return False
        largest = _largest(node.indices[moving_axis(node) or 0])
        return largest is None or not self._counts(largest)

    def errs(self, extent: int | None) -> bool:
        """Accept axes that are longer than the type can count."""
        return extent is None or not self._counts(extent - 1)

    def _counts(self, number: int) -> bool:
        return number < 1 << (self.bits - 1)

    def wrong(self, index: Any, extent: int | None) -> Any:
        """Return the index cast there and back."""
        del extent
        wide = index.ty.dtype
        narrow = f"int{self.bits}" if wide.lanes == 1 else f"int{self.bits}x{wide.lanes}"
        return ir.tirx.Cast(wide, ir.tirx.Cast(narrow, index))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one access."""
        narrow = 'T.Cast("int32", T.Cast("int8", i))'
        return [Example(long_kernel("B[i] = A[i]"), long_kernel(cls.shown.format(narrow)))]


@attrs.frozen(kw_only=True)
class NarrowLoadIndex(NarrowIndex):
    """Load at an index computed in 8 bits, where it wraps around to negative numbers.

    ``bits`` may be 16 or 32 too. By default at the lowered stage, where a tensor of any rank has one index.
    """

    name = "narrow-load-index"
    nodes = ("TensorLoad",)
    shown = "B[i] = A[{}]"


@attrs.frozen(kw_only=True)
class NarrowStoreIndex(NarrowIndex):
    """Store at an index computed in 8 bits, where it wraps around to negative numbers.

    ``bits`` may be 16 or 32 too. By default at the lowered stage, where a tensor of any rank has one index.
    """

    name = "narrow-store-index"
    nodes = ("BufferStore",)
    shown = "B[{}] = A[i]"


def _largest(index: Any) -> int | None:
    """Return the largest number that a scalar or vector of literals holds, or None if it is computed."""
    if not isinstance(index, ir.tirx.Ramp):
        return integer(index)
    base, stride, lanes = (integer(part) for part in (index.base, index.stride, index.lanes))
    if base is None or stride is None or lanes is None:
        return None
    return max(base, base + stride * (lanes - 1))


def long_kernel(line: str) -> str:
    """Return the source of a kernel on 200 elements."""
    return kernel(line).replace("8,", "200,").replace("range(8)", "range(200)")


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [
        OffByOneLoad,
        OffByOneLoadClamped,
        OffByOneStore,
        OffByOneStoreClamped,
        NarrowLoadIndex,
        NarrowStoreIndex,
    ]
