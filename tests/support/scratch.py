"""Scratch memory that a test can tell from what a kernel wrote."""

from __future__ import annotations

import math
from typing import Any

from mutatenn import ir
from mutatenn.compiler.patterns import fill


def poison_scratch(function: Any) -> Any:
    """Return a lowered PrimFunc that fills its scratch buffers with NaN, integers with their largest."""
    body = ir.ffi.structural_map(function.body, (ir.tirx.SeqStmt, _poison_allocated), order="post")
    return function.with_body(body)


def _poison_allocated(block: Any) -> Any:
    statements = []
    for statement in block.seq:
        statements.append(statement)
        if isinstance(statement, ir.tirx.AllocBuffer):
            statements.append(fill(statement.buffer, _poison(statement.buffer.ty.dtype.dtype)))
    return ir.tirx.SeqStmt(statements) if len(statements) > len(block.seq) else block


def _poison(dtype: Any) -> Any:
    scalar = dtype.with_lanes(1)
    name = str(scalar)
    number = math.nan if "float" in name else 1 if name == "bool" else None
    value = ir.tirx.max_value(scalar) if number is None else ir.tirx.const(number, scalar)
    return value if dtype.lanes == 1 else ir.tirx.Broadcast(value, int(dtype.lanes))
