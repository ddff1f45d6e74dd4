"""Words of 32 bits as content of memory of any dtype."""

from __future__ import annotations

from typing import Any

from mutatenn.compiler import ir

WORD = 32  # bits


def pattern(word: Any, dtype: Any) -> Any:
    """Return an expression of a dtype that has a 32-bit word's bits, repeated or cut, in every lane."""
    dtype = getattr(dtype, "dtype", dtype)
    scalar, name = dtype.with_lanes(1), str(dtype.with_lanes(1))
    value = _scalar(word, scalar, name)
    return value if dtype.lanes == 1 else ir.tirx.Broadcast(value, int(dtype.lanes))


def _scalar(word: Any, scalar: Any, name: str) -> Any:
    if name == "bool":
        return ir.tirx.NE(ir.tirx.FloorMod(word, ir.tirx.const(2, "int32")), ir.tirx.const(0, "int32"))
    whole = f"int{int(scalar.bits)}"
    bits = _doubled(word) if int(scalar.bits) > WORD else _cast(word, whole)
    return bits if name == whole else ir.tirx.reinterpret(name, bits)


def _cast(word: Any, name: str) -> Any:
    return word if name == "int32" else ir.tirx.Cast(name, word)


def _doubled(word: Any) -> Any:
    low = ir.tirx.Cast("int64", ir.tirx.reinterpret("uint32", word))
    return ir.tirx.bitwise_or(ir.tirx.shift_left(low, ir.tirx.const(WORD, "int64")), low)


def fill(buffer: Any, value: Any) -> Any:
    """Return the loops that store a value to every element of a buffer."""
    indices = [ir.tirx.Var(f"p{axis}", extent.ty) for axis, extent in enumerate(buffer.ty.shape)]
    body = ir.tirx.BufferStore(buffer, value, indices)
    for index, extent in reversed(list(zip(indices, buffer.ty.shape, strict=True))):
        body = ir.tirx.For(index, ir.tirx.const(0, extent.ty.dtype), extent, ir.tirx.ForKind.SERIAL, body)
    return body
