"""Has every form of a kernel round alike: its expressions alone decide which products are rounded.

In ``a * b + c`` the product enters the sum unrounded (one fused multiply-add, of two products the right one)
where the processor has an instruction for that. Every other product is rounded, as if it had been in memory.
Compilers decide by what they happen to see: LLVM, as TVM sets it up, fuses any product with any sum, and what
it sees depends on how loops were tiled, unrolled and vectorised, and on whether scratch memory is poisoned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Callable

FLOATS = frozenset({"float16", "float32", "float64"})
FUSING = ("fma", "fma4", "neon", "fp-armv8", "vfp4", "fullfp16")  # features of processors, by LLVM's names
GUARDS = ("prim.if_then_else", "tirx.if_then_else")
PURE_CALL = "tirx.call_llvm_pure_intrin"
FUSED = {
    "cuda": {"float32": "__fmaf_rn", "float64": "__fma_rn"},
    "opencl": {"float32": "fused_float{}", "float64": "fused_double{}"},
}
"""Functions of devices' languages, by dtype and lanes: ``a * b + c``, rounded once if a device does that."""
FENCE, ONE_OR_TWO_ROUNDINGS, ONE_ROUNDING = "llvm.arithmetic.fence", "llvm.fmuladd", "llvm.fma"


def expose_products(function: Any) -> Any:
    """Return a lowered PrimFunc in which each product to be fused is an operand of its sum.

    Named subexpressions are put where they are used, sums of guarded products into the branches of the
    guards. So it does not matter which of these another form of the kernel has decided.
    """
    body = _without_names(function.body)
    exposed = ir.ffi.structural_map(
        body, (ir.tirx.Add, lambda node: _sum(node.a, node.b, node)), order="post"
    )
    return function if exposed.same_as(function.body) else function.with_body(exposed)


def fix_rounding(module: Any, target: Any) -> Any:
    """Return the module for LLVM, in which fused multiply-adds are written and all other products fenced."""
    has = ir.tvm.target.codegen.target_has_features
    fuses = any(has(feature, target) for feature in FUSING)
    lookup = ir.tvm.target.codegen.llvm_lookup_intrinsic_id
    either, powers = lookup(ONE_OR_TWO_ROUNDINGS), {lookup("llvm.pow"), lookup("llvm.powi")}

    def product(node: Any) -> Any:
        return _fenced(node) if _is_float(node) and not (_is_one(node.a) or _is_one(node.b)) else node

    def quotient(node: Any) -> Any:  # by a constant, LLVM may make a product of it
        return _fenced(node) if _is_float(node) and _is_constant(node.b) else node

    def call(node: Any) -> Any:
        if getattr(node.op, "name", "") != PURE_CALL:
            return node
        number = int(node.args[0].value)
        if number == either and fuses:
            return ir.tirx.call_llvm_pure_intrin(node.ty.dtype, ONE_ROUNDING, *node.args[1:])
        return _fenced(node) if number in powers else node  # x**2 becomes a product

    rewrites = [(ir.tirx.Mul, product), (ir.tirx.Div, quotient), (ir.tvm.ir.Call, call)]
    return _map_bodies(module, lambda body: ir.ffi.structural_map(body, rewrites, order="post"))


def fix_device_rounding(module: Any, target: Any) -> Any:
    """Return the module for a device, in which fused multiply-adds are written as calls of :data:`FUSED`.

    That other products are not fused is for the device's compiler to be told.
    """
    names = FUSED.get(target.kind.name, {})
    fence = ir.tvm.target.codegen.llvm_lookup_intrinsic_id(FENCE)

    def add(node: Any) -> Any:
        name, operands = names.get(_scalar(node), ""), _fused_operands(node)
        if not name or not operands:
            return node
        lanes = node.ty.dtype.lanes
        return ir.tirx.call_pure_extern(node.ty.dtype, name.format(lanes if lanes > 1 else ""), *operands)

    def unfence(node: Any) -> Any:
        known = getattr(node.op, "name", "") == PURE_CALL and int(node.args[0].value) == fence
        return node.args[1] if known else node

    def fix(body: Any) -> Any:
        fused = ir.ffi.structural_map(body, (ir.tirx.Add, add), order="post")
        return ir.ffi.structural_map(fused, (ir.tvm.ir.Call, unfence), order="post")

    return _map_bodies(module, fix)


def _fused_operands(node: Any) -> tuple[Any, ...]:
    """Return a, b, c of ``a * b + c``; of two products the right one is fused."""
    if isinstance(node.b, ir.tirx.Mul):
        return node.b.a, node.b.b, node.a
    return (node.a.a, node.a.b, node.b) if isinstance(node.a, ir.tirx.Mul) else ()


def _map_bodies(module: Any, change: Callable[[Any], Any]) -> Any:
    functions = {
        name: function.with_body(change(function.body)) for name, function in module.functions_items()
    }
    return ir.tvm.IRModule(functions, attrs=module.attrs)


def _scalar(expr: Any) -> str:
    return str(expr.ty.dtype.with_lanes(1))


def _is_float(expr: Any) -> bool:
    return _scalar(expr) in FLOATS


def _is_product(expr: Any) -> bool:
    return isinstance(expr, ir.tirx.Mul) and _is_float(expr)


def _ends_in_product(expr: Any) -> bool:
    """Tell whether an expression is a product, or may be one, depending on a condition."""
    return _is_product(expr) or any(_ends_in_product(branch) for branch in _branches(expr))


def _fenced(expr: Any) -> Any:
    return ir.tirx.call_llvm_pure_intrin(expr.ty.dtype, FENCE, expr)


def _is_constant(expr: Any) -> bool:
    return isinstance(expr.value if isinstance(expr, ir.tirx.Broadcast) else expr, ir.tirx.FloatImm)


def _is_one(expr: Any) -> bool:
    """Tell whether an expression is a constant 1 once it is rounded to its dtype: its products are exact."""
    value = expr.value if isinstance(expr, ir.tirx.Broadcast) else expr
    return isinstance(value, ir.tirx.FloatImm) and bool(np.dtype(_scalar(value)).type(value.value) == 1)


def _branches(expr: Any) -> tuple[Any, ...]:
    if isinstance(expr, ir.tirx.Select):
        return expr.true_value, expr.false_value
    if getattr(getattr(expr, "op", None), "name", "") in GUARDS:
        return tuple(expr.args[1:])
    return ()


def _with_branches(expr: Any, branches: list[Any]) -> Any:
    if isinstance(expr, ir.tirx.Select):
        return ir.tirx.Select(expr.condition, *branches)
    return ir.tirx.if_then_else(expr.args[0], *branches)


def _sum(a: Any, b: Any, node: Any = None) -> Any:
    """Return ``a + b``, its guarded products each added in the branch where it is one."""
    if not _is_product(b) and _ends_in_product(b):
        return _with_branches(b, [_sum(a, branch) for branch in _branches(b)])
    if not _is_product(b) and not _is_product(a) and _ends_in_product(a):
        return _with_branches(a, [_sum(branch, b) for branch in _branches(a)])
    return ir.tirx.Add(a, b) if node is None else node


def _without_names(body: Any) -> Any:
    """Return a statement with names of products replaced by what they stand for, unless that reads memory."""
    known: dict[Any, Any] = {}

    def substitute(node: Any) -> Any:
        return ir.ffi.structural_map(node, (ir.tvm.ir.Var, lambda var: known.get(var, var)), order="post")

    def learn(bind: Any) -> None:
        value = substitute(bind.value) if known else bind.value
        if _ends_in_product(value) and not _reads_memory(value):
            known[bind.var] = value

    def drop(bind: Any) -> Any:
        return ir.tirx.Evaluate(ir.tirx.IntImm("int32", 0)) if bind.var in known else bind

    ir.ffi.structural_walk(body, (ir.tirx.Bind, learn), order="pre")
    return substitute(ir.ffi.structural_map(body, (ir.tirx.Bind, drop), order="pre")) if known else body


def _reads_memory(expr: Any) -> bool:
    found: list[Any] = []
    ir.ffi.structural_walk(expr, [(ir.tvm.ir.TensorLoad, found.append), (ir.tirx.Let, found.append)])
    return bool(found)
