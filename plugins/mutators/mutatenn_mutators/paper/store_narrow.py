"""Narrows the type of a value on its way to memory."""

from __future__ import annotations

from typing import Any, ClassVar

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.literals import is_float32, literal_value
from mutatenn_mutators._shared.paper import PAPER
from mutatenn_mutators._shared.sources import kernel


class StoreNarrow(KernelMutator):
    """Round a stored value to a type of fewer values and back; the buffer keeps its type.

    A value outside an integer type's range becomes whatever the device makes of it.
    """

    category = "AT"
    groups: ClassVar[tuple[str, ...]] = ("paper",)
    origin = PAPER
    nodes = ("BufferStore",)
    dtype: ClassVar[str]

    def matches(self, node: Any) -> bool:
        """Accept stores of float32 values; literals have the compiler convert, or refuse, them."""
        return is_float32(node.value) and literal_value(node.value) is None

    def rewrite(self, node: Any) -> Any:
        """Return the store of the value cast there and back."""
        wide = node.value.ty.dtype
        narrow = ir.tirx.Cast(f"{self.dtype}x{wide.lanes}" if wide.lanes > 1 else self.dtype, node.value)
        return ir.tirx.BufferStore(node.buffer, ir.tirx.Cast(wide, narrow), node.indices)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one store."""
        after = f'B[i] = T.Cast("float32", T.Cast("{cls.dtype}", A[i]))'
        return [Example(kernel("B[i] = A[i]"), kernel(after))]


class StoreFloat16(StoreNarrow):
    """Round a stored float32 value to float16."""

    name = "store-float16"
    groups = ("paper", "rounding")
    dtype = "float16"


class StoreInt32(StoreNarrow):
    """Truncate a stored float32 value to a 32-bit integer."""

    name = "store-int32"
    dtype = "int32"


class StoreInt16(StoreNarrow):
    """Truncate a stored float32 value to a 16-bit integer."""

    name = "store-int16"
    dtype = "int16"


class StoreInt8(StoreNarrow):
    """Truncate a stored float32 value to an 8-bit integer."""

    name = "store-int8"
    dtype = "int8"


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per type."""
    return [StoreFloat16, StoreInt32, StoreInt16, StoreInt8]
