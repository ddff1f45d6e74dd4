"""What follows a layer in its fused kernel, in the wrong order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import Example, KernelPatternMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.sources import scratch_kernel
from mutatenn_mutators._shared.tir import accumulates, called, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ORDER = "microsoft/onnxruntime#15837: NhwcFusedConv: Add before Activation"


class AddAfterActivation(KernelPatternMutator):
    """Activate a layer's result before its bias, or a residual, is added: relu(x + b) becomes relu(x) + b.

    A site is an activation of a sum that one stage stores and no other reads. Of the sum's operands, the one
    that the kernel itself has computed is activated, or else the first.
    """

    name = "add-after-activation"
    groups = ("bugs",)
    origin = _ORDER
    nodes = ("TensorLoad", "BufferStore")
    needs = "addition before an activation"

    def edits(self, nodes: Sequence[Any]) -> Sequence[Mapping[int, Callable[[Any], Any]]]:
        """Return for each site the stores of the activation and of the sum."""
        stores = {n: node for n, node in enumerate(nodes) if isinstance(node, ir.tirx.BufferStore)}
        loads = [node for node in nodes if isinstance(node, ir.tvm.ir.TensorLoad)]
        found = []
        for place, store in stores.items():
            load = _activated(store.value)
            if load is None or sum(each.source.same_as(load.source) for each in loads) > 1:
                continue
            sums = [n for n, each in stores.items() if each.buffer.same_as(load.source)]
            if len(sums) == 1 and _adds(stores[sums[0]]):
                made = {each.buffer for each in stores.values()}
                found.append({place: _storing(load), sums[0]: _activating(store.value, made)})
        return found

    @classmethod
    def examples(cls) -> list[Example]:
        """Show ReLU."""
        before = "C[i] = A[i] + T.float32(2)\nB[i] = T.max(C[i], T.float32(0))"
        after = "C[i] = T.max(A[i], T.float32(0)) + T.float32(2)\nB[i] = C[i]"
        return [Example(scratch_kernel(before), scratch_kernel(after))]


def _activated(value: Any) -> Any:
    """Return the one load that a value is a non-linear function of, or None."""
    calls = isinstance(value, ir.tvm.ir.Call) and called(value) != "if_then_else"
    if not (calls or isinstance(value, (ir.tirx.Max, ir.tirx.Min, ir.tirx.Select))):
        return None
    loads = parts_of(value, ir.tvm.ir.TensorLoad)
    return loads[0] if len(loads) == 1 else None


def _adds(store: Any) -> bool:
    return isinstance(store.value, ir.tirx.Add) and not accumulates(store)


def _storing(value: Any) -> Callable[[Any], Any]:
    return lambda store: ir.tirx.BufferStore(store.buffer, value, store.indices)


def _activating(activation: Any, made: set[Any]) -> Callable[[Any], Any]:
    """Return what applies an activation of a load to one operand of a stored sum, one of those made here."""

    def rewrite(store: Any) -> Any:
        operands = [store.value.a, store.value.b]
        results = [n for n, each in enumerate(operands) if _loads(each) & made]
        place = results[0] if results else 0
        argument = operands[place]
        operands[place] = ir.ffi.structural_map(
            activation, (ir.tvm.ir.TensorLoad, lambda _: argument), order="post"
        )
        return ir.tirx.BufferStore(store.buffer, ir.tirx.Add(*operands), store.indices)

    return rewrite


def _loads(expression: Any) -> set[Any]:
    return {load.source for load in parts_of(expression, ir.tvm.ir.TensorLoad)}


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operator."""
    return [AddAfterActivation]
