"""A lowered GPU kernel falls into device source and launches; no device is needed for that."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest

from mutatenn import BuildError, InputError, Kernel, Launch, TensorSpec, device_code, ir
from mutatenn.compiler.kernels import lower_kernel

TWO = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((2, 5), "float32"), B: T.Buffer((10,), "float32")):
    C = T.sblock_alloc_buffer((10,))
    for b in T.thread_binding(4, thread="blockIdx.x"):
        for t in T.thread_binding(3, thread="threadIdx.x"):
            if b * 3 + t < 10:
                C[b * 3 + t] = A[(b * 3 + t) // 5, (b * 3 + t) % 5]
    for y in T.thread_binding(2, thread="blockIdx.y"):
        for x in T.thread_binding(5, thread="threadIdx.z"):
            B[y * 5 + x] = C[9 - y * 5 - x]
"""


@pytest.fixture(scope="module", params=["opencl", "cuda"])
def target(request: pytest.FixtureRequest) -> Any:
    config = {"kind": request.param} | ({"arch": "sm_80"} if request.param == "cuda" else {})
    return ir.tvm.target.Target(config, host="llvm")


def lowered(source: str, target: Any, name: str = "kernel") -> Kernel:
    return Kernel("0", name, lower_kernel(ir.script.from_source(source), target))


def test_each_launch_names_its_buffers_and_extents(target: Any) -> None:
    code = device_code(lowered(TWO, target), target)
    assert code.parameters == (TensorSpec("A", (2, 5)), TensorSpec("B", (10,)))
    assert [(spec.shape, spec.dtype) for spec in code.scratch] == [((10,), "float32")]
    first, second = code.launches
    assert first == Launch("kernel_kernel", (0, 2), (4, 1, 1), (3, 1, 1))
    assert second == Launch("kernel_kernel_1", (1, 2), (1, 2, 1), (1, 1, 5))
    assert f"{first.kernel}(" in code.source
    assert f"{second.kernel}(" in code.source


def test_a_thread_guard_stands_in_the_source(target: Any) -> None:
    lines = device_code(lowered(TWO, target), target).source.splitlines()
    (guard,) = (line.strip() for line in lines if line.startswith("  if ("))
    assert guard.endswith("< 10) {")


def test_nothing_depends_on_the_name(target: Any) -> None:
    one, other = (device_code(lowered(TWO, target, name), target) for name in ("one", "other"))
    assert one == other
    assert "one" not in one.listing.replace("clone", "")


def test_the_listing_tells_kernels_apart_that_differ_only_in_their_launches(target: Any) -> None:
    code = device_code(lowered(TWO, target), target)
    launch = attrs.evolve(code.launches[0], grid=(3, 1, 1))
    other = attrs.evolve(code, launches=(launch, code.launches[1]))
    assert code.listing != other.listing
    assert "// launch kernel_kernel(0, 2) on 4 x 1 x 1 blocks of 3 x 1 x 1 threads" in code.listing
    assert code.listing.startswith(code.source.rstrip())


def test_device_functions_can_be_rewritten_before_code_is_generated(target: Any) -> None:
    def double(function: Any) -> Any:
        def store(node: Any) -> Any:
            return ir.tirx.BufferStore(node.buffer, node.value * 2.0, node.indices)

        return function.with_body(ir.ffi.structural_map(function.body, (ir.tirx.BufferStore, store)))

    kernel = lowered(TWO, target)
    assert "2.000000e+00" not in device_code(kernel, target).source
    assert device_code(kernel, target, double).source.count("2.000000e+00") == 2


def test_a_kernel_that_leaves_work_to_the_host_does_not_build(target: Any) -> None:
    source = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for n in range(3):
        for i in T.thread_binding(8, thread="blockIdx.x"):
            B[i] = A[i] + T.Cast("float32", n)
"""
    with pytest.raises(BuildError, match="left to the host"):
        device_code(lowered(source, target), target)


def test_a_whole_model_has_no_code_of_its_own(target: Any) -> None:
    with pytest.raises(InputError, match="virtual machine"):
        device_code(Kernel("0", "main", ir.tvm.IRModule()), target)


@pytest.mark.parametrize("name", ["gpu_0/data", "0", "A) {} evil(", "größe", '"\\n#include <x>', ""])
def test_a_name_from_a_model_brings_no_code(target: Any, name: str) -> None:
    kernel = lowered(TWO, target)
    old = kernel.ir.params[0]
    new = ir.tvm.ir.Var(name, old.ty)
    function = ir.ffi.structural_map(kernel.ir, (ir.tvm.ir.Var, lambda var: new if var.same_as(old) else var))
    assert function.params[0].name == name
    named = device_code(Kernel("0", "kernel", function), target)
    (spec, *_), plain = named.parameters, device_code(kernel, target)
    assert spec.name.isascii()
    assert not set(spec.name) & set(' /(){}#"\\\n<>')
    assert re.sub(rf"\b{spec.name}_ptr\b", "A_ptr", named.source) == plain.source
    assert [launch.grid for launch in named.launches] == [launch.grid for launch in plain.launches]
