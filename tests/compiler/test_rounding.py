"""Which products enter a sum unrounded is decided by the kernel's expressions, in every form of a kernel."""

from __future__ import annotations

import numpy as np
import pytest
from scratch import poison_scratch

from mutatenn import Kernel, TensorSpec, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.compiler.rounding import FUSING, expose_products
from mutatenn_backends._cpu.processor import missing_features
from mutatenn_backends.llvm import Llvm

# (1 + e)**2 - (1 + 2e) is e**2 if the product is not rounded, and 0 if it is.
EPSILON = 2.0**-12
ARGUMENTS = [np.full(24, value, np.float32) for value in (1 + EPSILON, -1 - 2 * EPSILON)]
HEADER = """@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((T.int64(24),), "float32"), C: T.Buffer((T.int64(24),), "float32"),
         B: T.Buffer((T.int64(24),), "float32")):
"""
STORED = """
    P = T.sblock_alloc_buffer((T.int64(24),))
    for i in T.{kind}(T.int64(24)):
        with T.sblock("product"):
            v = T.axis.spatial(T.int64(24), i)
            P[v] = {product}
    for i in T.{kind}(T.int64(24)):
        with T.sblock("sum"):
            v = T.axis.spatial(T.int64(24), i)
            B[v] = {total}
"""
DIRECT = """
    for i in T.{kind}(T.int64(24)):
        with T.sblock("sum"):
            v = T.axis.spatial(T.int64(24), i)
            B[v] = {total}
"""
SQUARE = "A[v] * A[v]"
ROUNDED = {
    "stored": (SQUARE, "P[v] + C[v]"),
    "subtracted": (SQUARE, "P[v] - (T.float32(0) - C[v])"),
    "a power": ("T.pow(A[v], T.float32(2))", "P[v] + C[v]"),
    "one of two": (SQUARE, "T.max(P[v], P[v]) + C[v]"),
}
UNROUNDED = {
    "on the right": f"C[v] + {SQUARE}",
    "on the left": f"{SQUARE} + C[v]",
    "guarded": f"T.if_then_else(v < T.int64(24), {SQUARE}, T.float32(0)) + C[v]",
    "guarded by place": f"C[v] + T.if_then_else(v < T.int64(23), {SQUARE}, A[v] * A[T.int64(0)])",
    "selected": f"C[v] + T.Select(v < T.int64(23), {SQUARE}, A[v] * A[T.int64(0)])",
    "of two the right": f"(C[v] * C[v] - C[v] * C[v] + C[v]) + {SQUARE}",
}
PROCESSORS = ("x86-64", "x86-64-v3", "znver3")


@pytest.fixture(scope="module", params=["native", *PROCESSORS])
def backend(request: pytest.FixtureRequest) -> Llvm:
    known = ir.tvm.target.codegen.llvm_get_cpu_archlist(ir.tvm.target.Target("llvm"))
    if request.param not in ("native", *known) or missing_features(Llvm(mcpu=request.param).target()):
        pytest.skip(f"this machine is no {request.param}")
    return Llvm(mcpu=request.param)


def run(backend: Llvm, body: str, *, poison: bool) -> set[float]:
    lowered = lower_kernel(ir.script.from_source(HEADER + body), backend.target())
    device = backend.open()
    built = device.build(Kernel("0", "kernel", poison_scratch(lowered) if poison else lowered))
    result = device.allocate(TensorSpec("B", (24,)))
    device.launch(built, [device.upload(each) for each in ARGUMENTS], [result])
    return set(device.fetch(result).tolist())


@pytest.mark.parametrize("form", sorted(ROUNDED))
def test_a_product_that_was_in_memory_is_rounded(backend: Llvm, form: str) -> None:
    product, total = ROUNDED[form]
    for kind, poison in (("serial", True), ("unroll", False), ("vectorized", False)):
        body = STORED.format(kind=kind, product=product, total=total)
        assert run(backend, body, poison=poison) == {0.0}, kind


@pytest.mark.parametrize("form", sorted(UNROUNDED))
def test_a_product_in_a_sum_is_not_where_the_processor_can(backend: Llvm, form: str) -> None:
    has = ir.tvm.target.codegen.target_has_features
    fuses = any(has(feature, backend.target()) for feature in FUSING)
    for kind in ("serial", "vectorized"):
        body = DIRECT.format(kind=kind, total=UNROUNDED[form])
        assert run(backend, body, poison=False) == {EPSILON**2 if fuses else 0.0}, kind


def test_names_and_guards_do_not_hide_products() -> None:
    source = """@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((T.int64(8),), "float32")):
    for i in range(T.int64(8)):
        half: T.let[T.float32] = T.Cast("float32", i) * T.float32(0.5)
        read: T.let[T.float32] = A[i] * A[i]
        A[i] = T.Select(i < T.int64(4), half, A[i]) + A[i] + read
"""
    text = expose_products(ir.script.from_source(source)).script()
    assert (
        'T.Select(i < T.int64(4), T.Cast("float32", i) * T.float32(0.5) + A[i], A[i] + A[i]) + read' in text
    )


def test_a_kernel_without_such_is_left_as_it_is() -> None:
    function = ir.script.from_source(HEADER + DIRECT.format(kind="serial", total=UNROUNDED["on the left"]))
    assert expose_products(function).same_as(function)
