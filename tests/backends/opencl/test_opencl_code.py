"""OpenCL C as it is generated; and PoCL's cache, kept within its limit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import Kernel, ir, kernel_cache
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_backends._opencl import cache as opencl_cache
from mutatenn_backends._opencl.code import generate

# Vectors at places that are no multiples of their width.
MOVED = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((99,), "float32"), B: T.Buffer((99,), "float32")):
    for b in T.thread_binding(12, thread="blockIdx.x"):
        for v in T.vectorized(8):
            B[b * 8 + v + 3] = A[b * 8 + v + 3] * A[b + 1]
    for b in T.thread_binding(3, thread="blockIdx.x"):
        B[b] = A[b]
"""
NARROWED = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((99,), "float32"), B: T.Buffer((99,), "float32")):
    for b in T.thread_binding(12, thread="blockIdx.x"):
        for v in T.vectorized(8):
            B[b * 8 + v + 3] = T.Cast("float32", T.Cast("float16", A[b * 8 + v + 3]))
    for b in T.thread_binding(3, thread="blockIdx.x"):
        B[b] = T.Cast("float32", T.Cast("float16", A[b]))
"""
# A thread's own memory, the last element of which is read but not written.
LOCAL = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8, 4), "float32"), B: T.Buffer((8, 4), "float32")):
    C = T.sblock_alloc_buffer((4,), scope="local")
    for b in T.thread_binding(8, thread="threadIdx.x"):
        for i in range(3):
            C[i] = A[b, i]
        for i in range(4):
            B[b, i] = C[3 - i]
"""


@pytest.fixture(scope="module")
def target() -> Any:
    return ir.tvm.target.Target({"kind": "opencl"}, host="llvm")


def source(text: str, target: Any) -> str:
    return generate(Kernel("0", "kernel", lower_kernel(ir.script.from_source(text), target)), target).source


def test_vectors_are_loaded_and_stored_whole_wherever_they_lie(target: Any) -> None:
    code = source(MOVED, target)
    assert code.count("vload8(") == 1
    assert code.count("vstore8(") == 1
    assert "(float8)(A_ptr[" in code
    assert ".s1" not in code


def test_vector_code_computes_what_it_says(bench: Any) -> None:
    array = np.random.default_rng(0).standard_normal(99).astype(np.float32)
    expected = array.copy()
    expected[3:] *= np.repeat(array[1:13], 8)
    np.testing.assert_array_equal(bench.run(bench.kernel(MOVED), array), expected)


def test_half_precision_needs_no_extension(bench: Any, target: Any) -> None:
    assert "cl_khr_fp16" not in source(NARROWED, target)
    assert "narrow" not in source(MOVED, target)
    array = np.random.default_rng(0).standard_normal(99).astype(np.float32) * 1000
    array[:4] = [np.inf, -np.inf, 65519, 1e-8]
    expected = array.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(bench.run(bench.kernel(NARROWED), array), expected)


def test_a_threads_own_memory_is_poisoned(bench: Any) -> None:
    array = np.arange(32, dtype=np.float32).reshape(8, 4)
    result = bench.run(bench.kernel(LOCAL), array)
    np.testing.assert_array_equal(result[:, 1:], array[:, 2::-1])
    assert np.isnan(result[:, 0]).all()


def test_the_cache_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    for age, name in enumerate("abc"):
        entry = tmp_path / "AA" / name
        (entry / "kernel").mkdir(parents=True)
        (entry / "kernel" / "code.so").write_bytes(bytes(10_000))
        (entry / "last_accessed").touch()
        os.utime(entry / "last_accessed", (1e9 - age, 1e9 - age))
    opencl_cache.tidy(tmp_path, 60_000)
    assert {path.name for path in (tmp_path / "AA").iterdir()} == {"a", "b", "c"}
    opencl_cache.tidy(tmp_path, 30_000)
    assert {path.name for path in (tmp_path / "AA").iterdir()} == {"a", "b"}


def test_what_pocl_compiles_is_in_the_kernel_cache(bench: Any) -> None:
    if "PoCL" not in bench.call(lambda device: device.context.devices[0].platform.version):
        pytest.skip("another platform than PoCL")
    cache = kernel_cache()
    if cache is None or any(name in os.environ for name in (opencl_cache.FOLDER, opencl_cache.SWITCH)):
        pytest.skip("the environment names another cache")
    bench.run(bench.kernel(LOCAL), np.zeros((8, 4), np.float32))
    assert list((cache.folder / "pocl").glob(f"*/*/{opencl_cache.MARK}"))
