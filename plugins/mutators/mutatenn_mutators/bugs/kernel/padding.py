"""Padding gone wrong: read past the edge, made of the wrong values, or never written."""

from __future__ import annotations

from typing import Any

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.literals import literal_value
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators._shared.tir import called, extents_of, integer_like, parts_of, with_indices

_UNGUARDED = (
    "modular/modular#6712: [BUG]: `conv2d` on CPU returns silently wrong / nondeterministic output with "
    "large width-padding"
)
_UNWRITTEN = "ROCm/aiter#3538: fix(flydsl_moe_stage1): pre-zero output when inter_dim_pad > 0"

_PADDED = "B[i] = T.if_then_else(1 <= i, A[i - 1], T.float32(0))"


class WrongPadding(KernelMutator):
    """Mistreat what a guarded load reads outside a tensor: a conditional between a load and a literal."""

    groups = ("bugs",)
    nodes = ("Call",)
    needs = "padding guard"

    def matches(self, node: Any) -> bool:
        """Accept conditionals that load one value or take a literal."""
        return is_padding(node)


class DropPaddingGuard(WrongPadding):
    """Load without the guard of the padding, beyond the edges and out of bounds at the first and last."""

    name = "drop-padding-guard"
    origin = _UNGUARDED

    def rewrite(self, node: Any) -> Any:
        """Return the load alone."""
        return node.args[1]

    @classmethod
    def examples(cls) -> list[Example]:
        """Show padding at the front."""
        return [Example(kernel(_PADDED), kernel("B[i] = A[i - 1]"))]


class ReplicatePadding(WrongPadding):
    """Pad with the elements at the edges instead of a constant.

    What drop-padding-guard does, kept within bounds: every index is clamped to its axis.
    """

    name = "replicate-padding"
    origin = _UNGUARDED

    def matches(self, node: Any) -> bool:
        """Accept loads of tensors whose extents are known."""
        return is_padding(node) and all(
            None not in extents_of(load) for load in parts_of(node.args[1], ir.tvm.ir.TensorLoad)
        )

    def rewrite(self, node: Any) -> Any:
        """Return the load at clamped indices."""
        return ir.ffi.structural_map(node.args[1], (ir.tvm.ir.TensorLoad, _clamped), order="post")

    @classmethod
    def examples(cls) -> list[Example]:
        """Show padding at the front."""
        return [Example(kernel(_PADDED), kernel("B[i] = A[T.max(T.min(i - 1, 7), 0)]"))]


class SkipPaddingStore(WrongPadding):
    """Store nothing where padding belongs, which leaves there what the memory held."""

    name = "skip-padding-store"
    origin = _UNWRITTEN
    nodes = ("BufferStore",)

    def matches(self, node: Any) -> bool:
        """Accept stores of values that are loaded or padding."""
        return is_padding(node.value)

    def rewrite(self, node: Any) -> Any:
        """Return the store of what is loaded, under the guard."""
        guard, value, _ = node.value.args
        return ir.tirx.IfThenElse(guard, ir.tirx.BufferStore(node.buffer, value, node.indices), None)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show padding at the front."""
        return [Example(kernel(_PADDED), kernel("if 1 <= i:\n    B[i] = A[i - 1]"))]


def is_padding(expression: Any) -> bool:
    """Tell whether an expression loads under a guard and is a literal elsewhere."""
    if called(expression) != "if_then_else":
        return False
    _, value, other = expression.args
    return literal_value(other) is not None and bool(parts_of(value, ir.tvm.ir.TensorLoad))


def _clamped(load: Any) -> Any:
    indices = []
    for index, extent in zip(load.indices, extents_of(load), strict=True):
        last = integer_like((extent or 1) - 1, index)
        indices.append(ir.tirx.max(ir.tirx.min(index, last), integer_like(0, index)))
    return with_indices(load, indices)


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [DropPaddingGuard, ReplicatePadding, SkipPaddingStore]
