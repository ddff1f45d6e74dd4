"""Generates OpenCL C.

TVM uses ``vload`` and ``vstore`` only at places that are multiples of the width, though OpenCL asks for no
more than an element's alignment; what it writes otherwise is many times longer, slower to compile and to run.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import device_code, ir

if TYPE_CHECKING:
    from mutatenn import DeviceCode, Kernel

# A product is added unrounded where the kernel's expressions tell, by the device's instruction if it has one.
ROUND_PRODUCTS = "#pragma OPENCL FP_CONTRACT OFF\n\n"
FUSED = """\
{0} fused_{0}({0} a, {0} b, {0} c) {{
#pragma OPENCL FP_CONTRACT ON
  return a * b + c;
}}

"""
NAMES = {"float32": "float", "float64": "double", "int32": "int", "int64": "long"}
WIDTHS = (2, 4, 8, 16)
# Storing as half precision needs no extension, computing in it does, which many devices lack.
NARROW = """\
float{0} narrow{0}(float{0} x) {{
  ushort bits[{1}];
  vstore_half{0}(x, 0, (__private half*)bits);
  return vload_half{0}(0, (__private half*)bits);
}}

"""


def generate(kernel: Kernel, target: Any) -> DeviceCode:
    """Return a kernel's OpenCL C and launches; raises BuildError if TVM rejects it."""
    code = device_code(kernel, target, prepare)
    fused = sorted(set(re.findall(r"\bfused_((?:float|double)\d*)\(", code.source)))
    narrow = sorted(set(re.findall(r"\bnarrow(\d*)\(", code.source)))
    own = [*(FUSED.format(each) for each in fused), *(NARROW.format(n, n or 1) for n in narrow)]
    return attrs.evolve(code, source="".join([ROUND_PRODUCTS, *own, code.source]))


def prepare(function: Any) -> Any:
    """Return a device function that uses OpenCL's functions on vectors, and starts with poisoned memory.

    A thread's own memory is filled with NaN, integers with their largest: a fault that leaves some of it
    unwritten would read what happens to be there, mostly what another thread left.
    """
    body = ir.ffi.structural_map(function.body, (ir.tirx.SeqStmt, _poison), order="post")
    rewrites = [
        (ir.tvm.ir.TensorLoad, _load),
        (ir.tirx.BufferStore, _store),
        (ir.tirx.Broadcast, _broadcast),
        (ir.tirx.Cast, _narrow),
    ]
    return function.with_body(ir.ffi.structural_map(body, rewrites, order="post"))


def _poison(block: Any) -> Any:
    statements: list[Any] = []
    for statement in block.seq:
        statements.append(statement)
        if isinstance(statement, ir.tirx.AllocBuffer) and statement.buffer.scope() == "local":
            statements.append(_fill(statement.buffer))
    return ir.tirx.SeqStmt(statements) if len(statements) > len(block.seq) else block


def _fill(buffer: Any) -> Any:
    dtype = buffer.ty.dtype.dtype
    scalar = dtype.with_lanes(1)
    value = ir.tirx.const(math.nan, scalar) if "float" in str(scalar) else _largest(scalar)
    value = value if dtype.lanes == 1 else ir.tirx.Broadcast(value, dtype.lanes)
    (extent,) = buffer.ty.shape
    index = ir.tirx.Var("p", extent.ty)
    store = ir.tirx.BufferStore(buffer, value, [index])
    return ir.tirx.For(index, ir.tirx.const(0, extent.ty.dtype), extent, ir.tirx.ForKind.SERIAL, store)


def _largest(scalar: Any) -> Any:
    return ir.tirx.const(1, scalar) if str(scalar) == "bool" else ir.tirx.max_value(scalar)


def _load(load: Any) -> Any:
    place = _place(load.source, load.indices)
    if place is None:
        return load
    return ir.tirx.call_pure_extern(load.ty.dtype, f"vload{load.ty.dtype.lanes}", _zero(), place)


def _store(store: Any) -> Any:
    place = _place(store.buffer, store.indices)
    if place is None:
        return store
    name = f"vstore{store.value.ty.dtype.lanes}"
    return ir.tirx.Evaluate(ir.tirx.call_extern("void", name, store.value, _zero(), place))


def _place(buffer: Any, indices: Any) -> Any:
    """Return the address of consecutive elements of a buffer, or None for any other access."""
    index = indices[-1]
    if str(buffer.ty.dtype) not in NAMES or not isinstance(index, ir.tirx.Ramp):
        return None
    one = isinstance(index.stride, ir.tirx.IntImm) and int(index.stride.value) == 1
    if not one or index.ty.dtype.lanes not in WIDTHS:
        return None
    return ir.tirx.address_of(ir.tirx.BufferLoad(buffer, [*indices[:-1], index.base]))


def _broadcast(vector: Any) -> Any:
    """Return ``(float8)(x)``, where TVM writes x eight times."""
    name, lanes = NAMES.get(str(vector.value.ty.dtype)), vector.ty.dtype.lanes
    if name is None or lanes not in WIDTHS:
        return vector
    return ir.tirx.call_pure_extern(vector.ty.dtype, f"({name}{lanes})", vector.value)


def _narrow(cast: Any) -> Any:
    """Return a float32 value rounded to half precision and back as a call of a function of ours."""
    inner = cast.value
    if not isinstance(inner, ir.tirx.Cast):
        return cast
    outer, middle, first = (each.ty.dtype for each in (cast, inner, inner.value))
    scalars = [str(dtype.with_lanes(1)) for dtype in (outer, middle, first)]
    if scalars != ["float32", "float16", "float32"] or outer.lanes not in (1, *WIDTHS):
        return cast
    return ir.tirx.call_pure_extern(outer, f"narrow{outer.lanes if outer.lanes > 1 else ''}", inner.value)


def _zero() -> Any:
    return ir.tirx.IntImm("int32", 0)
