"""What several graph operators need to know about a Relax call."""

from __future__ import annotations

from typing import Any

from mutatenn import ir


def with_argument(call: Any, index: int, value: Any, result: Any = None) -> Any:
    """Return the call with one argument replaced; ``result`` is its type where that is known."""
    arguments = [value if n == index else argument for n, argument in enumerate(call.args)]
    return ir.relax.Call(call.op, arguments, call.attrs, call.ty_args, ret_ty=result)


def is_float(tensor: Any) -> bool:
    """Tell whether a tensor's elements are floating-point numbers."""
    return str(tensor.ty.dtype).startswith("float")


def static_shape(tensor: Any) -> tuple[int, ...]:
    """Return the shape, or an empty one where it is not known at compile time."""
    extents = tensor.ty.shape
    if extents is None or not all(isinstance(extent, ir.tirx.IntImm) for extent in extents):
        return ()
    return tuple(int(extent) for extent in extents)
