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


def is_dense(call: Any) -> bool:
    """Tell whether a matrix product is a dense layer: by a matrix, not by a batch of them as in attention."""
    return getattr(call.args[1].ty, "ndim", 2) <= 2  # noqa: PLR2004  # a matrix, or a vector


def reads_input(expression: Any, builder: Any) -> bool:
    """Tell whether an expression depends on a parameter of its function, rather than on constants alone."""
    waiting, seen = [expression], set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, ir.relax.Var) and each not in seen:
            seen.add(each)
            waiting.append(builder.lookup_binding(each))
        elif isinstance(each, ir.tvm.ir.Call):
            waiting.extend(each.args)
        elif isinstance(each, ir.tvm.ir.Tuple):
            waiting.extend(each.fields)
        elif isinstance(each, ir.tvm.ir.TupleGetItem):
            waiting.append(each.tuple_value)
        elif each is None or isinstance(each, ir.relax.If):  # no binding: a parameter
            return True
    return False
