"""Number literals in TIR, scalar and, after vectorisation, broadcast to a vector."""

from __future__ import annotations

from typing import Any

from mutatenn import ir


def literal_like(value: float, expression: Any) -> Any:
    """Return a float literal of the expression's type."""
    dtype = expression.ty.dtype
    literal = ir.tirx.FloatImm(dtype.with_lanes(1), value)
    return literal if dtype.lanes == 1 else ir.tirx.Broadcast(literal, dtype.lanes)


def literal_value(expression: Any) -> float | None:
    """Return the number a float literal stands for, or None if the expression is no literal."""
    scalar = expression.value if isinstance(expression, ir.tirx.Broadcast) else expression
    return float(scalar.value) if isinstance(scalar, ir.tirx.FloatImm) else None


def is_float32(expression: Any) -> bool:
    """Tell whether an expression is a float32 scalar or vector."""
    return bool(expression.ty.dtype.with_lanes(1) == "float32")
