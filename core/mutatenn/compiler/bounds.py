"""Guards lowered CPU kernels against out-of-bounds accesses.

TVM's own ``tirx.instrument_bound_checkers`` adds no check in 0.27.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "out of bounds: "
"""How the errors of guarded kernels begin."""


def guard_bounds(function: Any) -> Any:
    """Return a lowered PrimFunc that fails before an access beyond its buffer, naming buffer and index.

    An access in a branch of ``if_then_else`` counts only where that branch is taken. Parallel loops become
    serial: TVM swallows assertions that fail in them.
    """
    rules = [(ir.tirx.BufferStore, _guard_store), (ir.tirx.For, _serial)]
    return function.with_body(ir.ffi.structural_map(function.body, rules, order="post"))


def _serial(loop: Any) -> Any:
    if loop.kind != ir.tirx.ForKind.PARALLEL:
        return loop
    kind = ir.tirx.ForKind.SERIAL
    return ir.tirx.For(loop.loop_var, loop.min, loop.extent, kind, loop.body, None, loop.annotations)


def _guard_store(store: Any) -> Any:
    accesses = [("store to", store.buffer, store.indices, None)]
    accesses += [("load from", load.source, load.indices, path) for load, path in _loads(store.value, None)]
    checks = [_check(*access) for access in accesses]
    return ir.tirx.SeqStmt([*(check for check in checks if check is not None), store])


def _loads(expr: Any, path: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the loads in an expression, each with the condition under which it happens (None: always)."""
    found: list[tuple[Any, Any]] = []

    def enter(node: Any, visitor: Any) -> None:
        if isinstance(node, ir.tvm.ir.TensorLoad):
            found.append((node, path))
            visitor.default_visit(node)
        elif getattr(node.op, "name", "") == "prim.if_then_else":
            condition, then, other = node.args
            found.extend(_loads(condition, path))
            found.extend(_loads(then, _both(path, condition)))
            found.extend(_loads(other, _both(path, ir.tirx.Not(condition))))
        elif getattr(node.op, "name", "").rpartition(".")[2] != "address_of":
            visitor.default_visit(node)

    ir.ffi.structural_visit(expr, ((ir.tvm.ir.TensorLoad, ir.tvm.ir.Call), enter))
    yield from found


def _both(path: Any, condition: Any) -> Any:
    return condition if path is None else ir.tirx.And(path, condition)


def _check(what: str, buffer: Any, indices: Any, path: Any) -> Any:
    """Return an assertion that an access stays inside, or None where that cannot be asked."""
    inside = None
    for index, extent in zip(indices, buffer.ty.shape, strict=True):
        for bound in _ends(index):
            zero, size = ir.tirx.const(0, bound.ty.dtype), ir.tirx.const(int(extent), bound.ty.dtype)
            inside = _both(inside, ir.tirx.And(ir.tirx.GE(bound, zero), ir.tirx.LT(bound, size)))
    if inside is None or _lanes(path) > 1:
        return None
    held = inside if path is None else ir.tirx.Or(ir.tirx.Not(path), inside)
    place = ", ".join(str(index) for index in indices)
    extents = ", ".join(str(int(extent)) for extent in buffer.ty.shape)
    text = f"{MARK}{what} {buffer.name}, index [{place}], extent [{extents}]"
    kind, message = ir.tvm.ir.StringImm("RuntimeError"), [ir.tvm.ir.StringImm(" ".join(text.split()))]
    return ir.tirx.AssertStmt(held, kind, message)


def _ends(index: Any) -> list[Any]:
    """Return the indices of a vector's lanes, of a ramp only the first and last; or the index itself."""
    lanes = _lanes(index)
    if lanes == 1:
        return [index]
    numbers = (0, lanes - 1) if isinstance(index, ir.tirx.Ramp) else range(lanes)
    return [each for number in numbers if (each := _lane(index, number)) is not None]


def _lane(expr: Any, number: int) -> Any:
    """Return one lane of a vector expression, or None for a kind that indices are not made of."""
    if _lanes(expr) == 1:
        return expr
    if isinstance(expr, ir.tirx.Ramp):
        step = ir.tirx.const(number, expr.base.ty.dtype)
        return ir.tirx.Add(expr.base, ir.tirx.Mul(expr.stride, step))
    if isinstance(expr, ir.tirx.Broadcast):
        return expr.value
    if isinstance(expr, ir.tirx.Cast):
        value = _lane(expr.value, number)
        return value if value is None else ir.tirx.Cast(expr.ty.dtype.with_lanes(1), value)
    if not isinstance(expr, _arithmetic()):
        return None
    one, other = _lane(expr.a, number), _lane(expr.b, number)
    return None if one is None or other is None else type(expr)(one, other)


def _arithmetic() -> tuple[Any, ...]:
    tirx = ir.tirx
    return (
        tirx.Add,
        tirx.Sub,
        tirx.Mul,
        tirx.Min,
        tirx.Max,
        tirx.FloorDiv,
        tirx.FloorMod,
        tirx.Div,
        tirx.Mod,
    )


def _lanes(expr: Any) -> int:
    return 1 if expr is None else int(expr.ty.dtype.lanes)
