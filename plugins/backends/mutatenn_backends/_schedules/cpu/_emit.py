"""Builds the loops of a scheduled kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Body = Callable[[Any], Any]


def loop(name: str, extent: int, body: Body, kind: str = "SERIAL") -> Any:
    """Return a loop from 0; the body is called with the variable, or with 0 if there is nothing to repeat."""
    if extent == 1:
        return body(ir.tirx.IntImm("int64", 0))
    var = ir.tvm.ir.Var(name, "int64")
    start, stop = (ir.tirx.IntImm("int64", bound) for bound in (0, extent))
    return ir.tirx.For(var, start, stop, getattr(ir.tirx.ForKind, kind), body(var))


def nest(
    axes: Sequence[Any],
    extents: Mapping[Any, int],
    body: Callable[[dict[Any, Any]], Any],
    kinds: Mapping[Any, str] | None = None,
) -> Any:
    """Return loops over axes, serial but for ``kinds``; the body is called with each axis' variable."""

    def level(depth: int, point: dict[Any, Any]) -> Any:
        if depth == len(axes):
            return body(point)
        axis = axes[depth]
        kind = (kinds or {}).get(axis, "SERIAL")
        return loop(axis.name, extents[axis], lambda var: level(depth + 1, {**point, axis: var}), kind)

    return level(0, {})


def sequence(statements: Iterable[Any]) -> Any:
    """Return statements one after the other."""
    flat: list[Any] = []
    for each in statements:
        flat.extend(each.seq if isinstance(each, ir.tirx.SeqStmt) else [each])
    return flat[0] if len(flat) == 1 else ir.tirx.SeqStmt(flat)


def rebuild(function: Any, body: Any, buffers: Sequence[Any]) -> Any:
    """Return the function with a new body that uses some local buffers."""
    true = ir.tirx.IntImm("bool", 1)
    root = ir.s_tir.SBlock([], [], [], "root", body, alloc_buffers=list(buffers))
    return function.with_body(ir.s_tir.SBlockRealize([], true, root))
