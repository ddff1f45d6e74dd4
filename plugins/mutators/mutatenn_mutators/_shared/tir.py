"""What several kernel operators need to know about TIR: indices, loops and reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import ir

if TYPE_CHECKING:
    from collections.abc import Sequence


def with_index(access: Any, axis: int, index: Any) -> Any:
    """Return a load, or a store, with another index on one axis."""
    indices = [index if n == axis else each for n, each in enumerate(access.indices)]
    return with_indices(access, indices)


def with_indices(access: Any, indices: Sequence[Any]) -> Any:
    """Return a load, or a store, at other indices."""
    if isinstance(access, ir.tirx.BufferStore):
        return ir.tirx.BufferStore(access.buffer, access.value, indices)
    return ir.tirx.BufferLoad(access.source, indices)


def extents_of(access: Any) -> list[int | None]:
    """Return the extents of what a load or a store accesses, None for one that is not known."""
    buffer = access.buffer if isinstance(access, ir.tirx.BufferStore) else access.source
    return [integer(extent) for extent in buffer.ty.shape]


def moving_axis(access: Any) -> int | None:
    """Return the last axis of more than one element, or None."""
    extents = extents_of(access)
    return max((axis for axis, extent in enumerate(extents) if extent != 1), default=None)


def integer(expression: Any) -> int | None:
    """Return the number an integer literal stands for, or None if the expression is no literal."""
    return int(expression.value) if isinstance(expression, ir.tirx.IntImm) else None


def integer_like(value: int, expression: Any) -> Any:
    """Return an integer literal of the expression's type, scalar or vector."""
    dtype = expression.ty.dtype
    literal = ir.tirx.IntImm(dtype.with_lanes(1), value)
    return literal if dtype.lanes == 1 else ir.tirx.Broadcast(literal, dtype.lanes)


def called(expression: Any) -> str:
    """Return the name of the operator or intrinsic an expression calls, without its namespace, or nothing."""
    name = getattr(expression.op, "name", "") if isinstance(expression, ir.tvm.ir.Call) else ""
    return str(name).rpartition(".")[2]


def parts_of(statement: Any, *classes: Any) -> list[Any]:
    """Return the nodes of some classes in a statement or expression."""
    found: list[Any] = []
    ir.ffi.structural_walk(statement, (classes, found.append), order="post")
    return found


def loop_with(loop: Any, *, start: Any = None, extent: Any = None, kind: int | None = None) -> Any:
    """Return a loop with another start, extent or kind."""
    return ir.tirx.For(
        loop.loop_var,
        loop.min if start is None else start,
        loop.extent if extent is None else extent,
        loop.kind if kind is None else kind,
        loop.body,
        loop.thread_binding,
        loop.annotations,
        loop.step,
    )


def accumulates(store: Any) -> bool:
    """Tell whether a store adds to what it overwrites."""
    return isinstance(store.value, ir.tirx.Add) and combines(store)


def combines(store: Any) -> bool:
    """Tell whether a store combines what it overwrites with something, by +, *, minimum or maximum."""
    value = store.value
    if not isinstance(value, (ir.tirx.Add, ir.tirx.Mul, ir.tirx.Max, ir.tirx.Min)):
        return False
    return any(_is_own(store, term) for term in (value.a, value.b))


def _is_own(store: Any, expression: Any) -> bool:
    return (
        isinstance(expression, ir.tvm.ir.TensorLoad)
        and expression.source.same_as(store.buffer)
        and all(map(ir.ffi.structural_equal, expression.indices, store.indices))
    )


def reduction_loops(nodes: Sequence[Any]) -> list[int]:
    """Return the places of the loops whose steps are combined, in nodes that hold all loops and blocks."""
    bound: set[Any] = set()
    for node in nodes:
        if isinstance(node, ir.s_tir.SBlockRealize):
            bound |= _reduced_over(node)
    return [
        n for n, node in enumerate(nodes) if _is_loop(node) and (node.loop_var in bound or _reduces(node))
    ]


def _is_loop(node: Any) -> bool:
    return isinstance(node, ir.tirx.For)


def _reduced_over(realize: Any) -> set[Any]:
    """Return the variables that a block reduces over."""
    found: set[Any] = set()
    for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True):
        if axis.iter_type == ir.tirx.IterVar.CommReduce:
            found.update(parts_of(value, ir.tirx.Var))
    return found


def _reduces(loop: Any) -> bool:
    """Tell whether a loop without blocks combines its steps: what every step starts anew is no reduction."""
    if parts_of(loop.body, ir.s_tir.SBlock):
        return False
    varying = _varying(loop)
    stores = parts_of(loop.body, ir.tirx.BufferStore)
    once = [
        store
        for branch in parts_of(loop.body, ir.tirx.IfThenElse)
        if _uses(branch.condition, varying)
        for store in parts_of(branch.then_case, ir.tirx.BufferStore)
    ]
    starts = [store for store in stores if not combines(store) and not any(map(store.same_as, once))]
    return any(
        combines(store)
        and not any(_uses(index, varying) for index in store.indices)
        and not any(start.buffer.same_as(store.buffer) for start in starts)
        for store in stores
    )


def _varying(loop: Any) -> set[Any]:
    """Return the variables that are another at every step: the loop's, and what is computed from it."""
    found = {loop.loop_var}
    for binding in parts_of(loop.body, ir.tirx.Bind):
        if _uses(binding.value, found):
            found.add(binding.var)
    return found


def _uses(expression: Any, variables: set[Any]) -> bool:
    return any(variable in variables for variable in parts_of(expression, ir.tirx.Var))
