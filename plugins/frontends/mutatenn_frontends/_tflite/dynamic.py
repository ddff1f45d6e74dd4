"""Layers of floats with weights of int8: TFLite quantises what they take while it runs, and so is it here."""

from __future__ import annotations

from typing import Any

from mutatenn import ir

LOWEST, HIGHEST = -128.0, 127.0


def whole_numbers(data: Any, axes: list[int]) -> tuple[Any, Any]:
    """Return floats as whole numbers (float32) and what one is worth, by the range over these axes.

    As TFLite's ``PortableAsymmetricQuantizeFloats``: the range has zero in it and comes to 255 steps; zero is
    a whole number, and is taken away again here.
    """
    op = ir.relax.op
    zero64 = _double(0)
    low, high = (
        limit(op.astype(find(data, axes, keepdims=True), "float64"), zero64)
        for find, limit in ((op.min, op.minimum), (op.max, op.maximum))
    )
    span = op.subtract(high, low)
    step = op.where(op.greater(span, zero64), op.divide(span, _double(HIGHEST - LOWEST)), _double(1))
    below, above = op.divide(low, step), op.divide(high, step)
    nearer = op.less(op.add(_double(-LOWEST), op.abs(below)), op.add(_double(HIGHEST), op.abs(above)))
    found = op.where(nearer, op.subtract(_double(LOWEST), below), op.subtract(_double(HIGHEST), above))
    shift = op.astype(_rounded(op.clip(found, LOWEST, HIGHEST), "float64"), "float32")
    size = op.astype(step, "float32")
    scaled = op.multiply(data, op.divide(ir.relax.const(1.0, "float32"), size))
    whole = op.clip(_rounded(op.add(shift, scaled), "float32"), LOWEST, HIGHEST)
    return op.subtract(whole, shift), size


def _rounded(value: Any, dtype: str) -> Any:
    """Round, halves away from zero."""
    op = ir.relax.op
    return op.multiply(op.sign(value), op.floor(op.add(op.abs(value), ir.relax.const(0.5, dtype))))


def _double(value: float) -> Any:
    return ir.relax.const(value, "float64")
