"""Which dimensions of a launch change, and that the code launched agrees."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

from mutatenn import KernelPatternMutator, ir
from mutatenn.compiler import kernels
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_mutators.bugs.kernel.memory import DropBarrier
from mutatenn_mutators.published_code.threads import (
    DecreaseBlockExtent,
    DecreaseThreadExtent,
    IncreaseBlockExtent,
    IncreaseThreadExtent,
)

TWO_LAUNCHES = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32")):
    C = T.sblock_alloc_buffer((64,))
    for b in T.thread_binding(4, thread="blockIdx.x"):
        for t in T.thread_binding(16, thread="threadIdx.x"):
            with T.sblock("one"):
                v = T.axis.spatial(64, b * 16 + t)
                T.reads(A[v])
                T.writes(C[v])
                C[v] = A[v] + T.float32(1)
    for b in T.thread_binding(1, thread="blockIdx.x"):
        for s in range(2):
            for t in T.thread_binding(32, thread="threadIdx.x"):
                with T.sblock("other"):
                    v = T.axis.spatial(64, s * 32 + t)
                    T.reads(C[v])
                    T.writes(B[v])
                    B[v] = C[v] * T.float32(2)
"""
SHARED = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32")):
    for b in T.thread_binding(1, thread="blockIdx.x"):
        with T.sblock("block"):
            T.reads(A[0:64])
            T.writes(B[0:64])
            C = T.sblock_alloc_buffer((64,), scope="shared")
            for t in T.thread_binding(64, thread="threadIdx.x"):
                with T.sblock("one"):
                    v = T.axis.spatial(64, t)
                    T.reads(A[v])
                    T.writes(C[v])
                    C[v] = A[v]
            for t in T.thread_binding(64, thread="threadIdx.x"):
                with T.sblock("other"):
                    v = T.axis.spatial(64, t)
                    T.reads(C[63 - v])
                    T.writes(B[v])
                    B[v] = C[63 - v]
"""
OPERATORS = (IncreaseThreadExtent, DecreaseThreadExtent, IncreaseBlockExtent, DecreaseBlockExtent)


@pytest.fixture(scope="module", params=["cuda", "opencl"])
def gpu(request: pytest.FixtureRequest) -> Any:
    config: dict[str, Any] = {"kind": request.param}
    if request.param == "cuda":
        config |= {"arch": "sm_80", "max_shared_memory_per_block": 49152}
    return ir.tvm.target.Target(config, host="llvm")


def generated(function: Any, target: Any) -> tuple[str, list[list[str]]]:
    """Return the source of a lowered kernel's device code, and the extents of each launch."""
    build = importlib.import_module("tvm.tirx.build")
    _, after = kernels.pipeline()
    module = ir.tvm.IRModule({"k": function.with_attr("global_symbol", "k")})
    with target:
        host, devices = build.split_host_device_mods(ir.tvm.ir.transform.Sequential(after)(module))
        finalize = ir.tirx.get_default_tir_pipeline(target)[2]()
        (source,) = [build.codegen_build(finalize(d), where).inspect_source() for where, d in devices.items()]
    calls = re.findall(r"call_ffi_kernel\((.*), launch_params=\[(.*?)\]", str(host))
    return source, [call.split(", ")[-len(names.split(", ")) :] for call, names in calls]


@pytest.mark.parametrize("stage", ["scheduled", "lowered"])
def test_each_dimension_of_each_launch_is_a_site(stage: str, gpu: Any) -> None:
    function = ir.script.from_source(TWO_LAUNCHES)
    function = lower_kernel(function, gpu) if stage == "lowered" else function
    counts = [len(operator().sites(function)) for operator in OPERATORS]
    assert counts == [2, 2, 2, 1]  # the second launch is of one block
    assert len(DecreaseThreadExtent(amount=16).sites(function)) == 1


@pytest.mark.parametrize("stage", ["scheduled", "lowered"])
def test_the_code_is_launched_as_changed(stage: str, gpu: Any) -> None:
    function, lowered = (
        ir.script.from_source(TWO_LAUNCHES),
        lower_kernel(ir.script.from_source(TWO_LAUNCHES), gpu),
    )
    assert generated(lowered, gpu)[1] == [["4", "16"], ["1", "32"]]

    def launches(mutator: KernelPatternMutator, site: int) -> list[list[str]]:
        if stage == "lowered":
            return generated(mutator.apply(lowered, [site]), gpu)[1]
        return generated(lower_kernel(mutator.apply(function, [site]), gpu), gpu)[1]

    assert launches(DecreaseThreadExtent(), 0) == [["4", "15"], ["1", "32"]]
    assert launches(IncreaseThreadExtent(amount=2), 1) == [["4", "16"], ["1", "34"]]
    assert launches(IncreaseBlockExtent(), 1) == [["4", "16"], ["2", "32"]]
    assert launches(DecreaseBlockExtent(), 0) == [["3", "16"], ["1", "32"]]


def test_loops_over_the_same_threads_change_together(gpu: Any) -> None:
    function = ir.script.from_source(SHARED)
    assert len(DecreaseThreadExtent().sites(function)) == 1
    changed = DecreaseThreadExtent().apply(function, [0])
    assert changed.script().count("T.thread_binding(63, ") == 2


def test_a_dropped_barrier_is_not_in_the_code(gpu: Any) -> None:
    lowered = lower_kernel(ir.script.from_source(SHARED), gpu)
    assert len(DropBarrier().sites(lowered)) == 1
    barrier = "__syncthreads()" if "cuda" in gpu.keys else "barrier(CLK_LOCAL_MEM_FENCE)"
    assert barrier in generated(lowered, gpu)[0]
    assert barrier not in generated(DropBarrier().apply(lowered, [0]), gpu)[0]


def test_cpu_kernels_have_no_threads(stages: dict[str, list[Any]]) -> None:
    for operator in (*OPERATORS, DropBarrier):
        assert [operator().sites(function) for function in stages["lowered"]] == [[]] * len(stages["lowered"])
