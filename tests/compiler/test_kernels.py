"""Kernels: named by content, lowered, built as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scratch import poison_scratch

from mutatenn import BuildError, Kernel, Model, build_kernel, ir
from mutatenn.compiler import lowering
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends.llvm import Llvm

SOURCE = """
@T.prim_func(s_tir=True)
def {name}({a}: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for {i} in range(8):
        with T.sblock("{block}"):
            v = T.axis.spatial(8, {i})
            B[v] = {a}[v] * T.float32({factor})
"""
# Copies by way of scratch memory, of which it leaves the last ``skip`` elements unwritten.
SCRATCH = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((2048,), "float32"), B: T.Buffer((2048,), "{dtype}")):
    scratch = T.alloc_buffer((2048,), "{dtype}")
    for i in range(2048 - {skip}):
        scratch[i] = T.Cast("{dtype}", A[i])
    for i in range(2048):
        B[i] = scratch[i]
"""


def primfunc(factor: float, **names: str) -> Any:
    names = {"name": "main", "a": "A", "i": "i", "block": "B"} | names
    return ir.script.from_source(SOURCE.format(factor=factor, **names))


def llvm(**options: Any) -> Any:
    return Llvm(**options).target()


def kernel(function: Any, target: Any, name: str = "kernel") -> Kernel:
    """Return a lowered kernel under an identity that says nothing about its content."""
    return Kernel("0", name, lower_kernel(function, target))


def scaled(built: Any) -> float:
    """Return the factor by which a built kernel scales."""
    result = ir.tvm.runtime.tensor(np.zeros(8, np.float32))
    built(ir.tvm.runtime.tensor(np.ones(8, np.float32)), result)
    (factor,) = set(result.numpy().tolist())
    return float(factor)


def test_what_is_built_is_the_code_given_even_under_one_name_and_digest() -> None:
    target = llvm()
    factors = [2.0, 3.0, 2.0, 5.0]
    built = [build_kernel(kernel(primfunc(factor), target), target) for factor in factors]
    assert [scaled(each) for each in built] == factors
    assert [scaled(each) for each in reversed(built)] == factors[::-1]


def test_building_leaves_the_kernel_alone() -> None:
    target = llvm()
    one = kernel(primfunc(2.0), target)
    before = one.ir.script()
    build_kernel(one, target)
    assert one.ir.script() == before


def test_a_kernel_computes_what_tvm_makes_of_it(toolchain: Toolchain) -> None:
    """The pipeline is TVM's own, cut in two: the result is that of an unbroken build."""
    from tvm import tirx

    unit = toolchain.units["softmax"]
    whole = tirx.build(unit.with_attr("global_symbol", "softmax"), toolchain.target)["softmax"]
    mine = build_kernel(Kernel("0", "softmax", lower_kernel(unit, toolchain.target)), toolchain.target)
    scores = ir.tvm.runtime.tensor(np.linspace(-3, 2, 10, dtype=np.float32)[np.newaxis])
    results = [ir.tvm.runtime.tensor(np.zeros((1, 10), np.float32)) for _ in range(2)]
    whole(scores, results[0])
    mine(scores, results[1])
    assert results[0].numpy().sum() == pytest.approx(1)
    assert results[0].numpy().tobytes() == results[1].numpy().tobytes()


def test_lowering_resolves_what_scheduling_left_open(toolchain: Toolchain) -> None:
    for name in toolchain.units:
        lowered = toolchain.unit(name, "lowered")
        code = lowered.script()
        assert "sblock" not in code
        assert lowered.attrs["target"].host is not None
        assert "sblock" in toolchain.unit(name, "schedulable").script()


@pytest.fixture
def digest(classifier: Any) -> Callable[[Any, Any], str]:
    """Return what names the kernel that a PrimFunc comes to on a backend."""

    def of(function: Any, backend: Any) -> str:
        builder = ir.relax.BlockBuilder()
        spec = ir.relax.TensorType((8,), "float32")
        image = ir.relax.Var("image", spec)
        unit = builder.add_func(function, "unit")
        with builder.function("main", [image]):
            with builder.dataflow():
                result = builder.emit_output(ir.relax.call_tir(unit, ir.relax.Tuple([image]), spec))
            builder.emit_func_output(result)
        (made,) = Toolchain(classifier(builder.get()), backend, Profile("basic")).program.kernels
        return str(made)

    return of


def test_digests_name_the_code_not_its_names(backend: Any, digest: Callable[[Any, Any], str]) -> None:
    original = digest(primfunc(2.0), backend)
    assert digest(primfunc(2.0, name="other", a="X", i="row", block="C"), backend) == original
    assert digest(primfunc(2.5), backend) != original
    assert digest(primfunc(2.0), Llvm(mcpu="x86-64")) != digest(primfunc(2.0), Llvm(mcpu="skylake"))
    assert digest(primfunc(2.0), Llvm(mcpu="x86-64", mattr=("+avx2",))) != digest(
        primfunc(2.0), Llvm(mcpu="x86-64")
    )


def test_a_digest_covers_what_generates_code(monkeypatch: pytest.MonkeyPatch) -> None:
    function = lower_kernel(primfunc(2.0), llvm())
    before = lowering.digest(function)
    monkeypatch.setattr("mutatenn.compiler.lowering._generator", lambda: "another version")
    assert lowering.digest(function) != before


def test_digests_are_the_same_in_every_process(model: Model, toolchain: Toolchain, tmp_path: Any) -> None:
    script = tmp_path / "digests.py"
    script.write_text(
        "import json, sys\n"
        "from pathlib import Path\n"
        "from mutatenn.compiler.profiles import Profile\n"
        "from mutatenn.compiler.toolchain import Toolchain\n"
        "from mutatenn_backends.llvm import Llvm\n"
        "from mutatenn_frontends.onnx import Onnx\n"
        "program = Toolchain(Onnx().load(Path(sys.argv[1])), Llvm(schedules=False), Profile()).program\n"
        "print(json.dumps([list(program.kernels), [c.digest for c in program.constants.values()]]))\n"
    )
    command = [sys.executable, str(script), str(model.source)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    program = toolchain.program
    here = [list(program.kernels), [constant.digest for constant in program.constants.values()]]
    assert json.loads(answer) == here


def test_the_compilers_refusal_is_a_build_error() -> None:
    stranger = ir.tirx.Var("nowhere", "float32")
    target = llvm()
    one = kernel(primfunc(2.0), target)
    broken = one.ir.with_body(
        ir.ffi.structural_map(
            one.ir.body,
            (ir.tirx.BufferStore, lambda s: ir.tirx.BufferStore(s.buffer, stranger, s.indices)),
            order="post",
        )
    )
    with pytest.raises(BuildError) as caught:
        build_kernel(Kernel("0", "broken", broken), target)
    assert "\n" not in str(caught.value)
    assert "nowhere" in str(caught.value)


def test_a_schedule_for_another_device_is_a_build_error() -> None:
    schedule = ir.s_tir.Schedule(primfunc(2.0))
    (loop,) = schedule.get_loops(schedule.get_sblock("B"))
    schedule.bind(loop, "threadIdx.x")
    target = llvm()
    bound = kernel(schedule.mod["main"], target)
    with pytest.raises(BuildError):
        build_kernel(bound, target)


@pytest.mark.parametrize(("dtype", "poison"), [("float32", np.nan), ("float16", np.nan), ("int8", 127)])
def test_poisoned_scratch_shows_what_was_not_written(dtype: str, poison: float) -> None:
    target = llvm()

    def run(skip: int, poisoned: bool) -> Any:
        function = lower_kernel(ir.script.from_source(SCRATCH.format(skip=skip, dtype=dtype)), target)
        function = poison_scratch(function) if poisoned else function
        built = build_kernel(Kernel("0", "scratch", function), target)
        result = ir.tvm.runtime.tensor(np.zeros(2048, dtype))
        built(ir.tvm.runtime.tensor(np.full(2048, 5, np.float32)), result)
        return result.numpy()

    assert (run(0, poisoned=False) == 5).all()
    assert (run(0, poisoned=True) == 5).all()
    partly = run(3, poisoned=True)
    assert (partly[:-3] == 5).all()
    np.testing.assert_array_equal(partly[-3:], np.full(3, poison, dtype))


def test_a_kernel_without_scratch_has_nothing_to_poison() -> None:
    lowered = lower_kernel(primfunc(2.0), llvm())
    assert ir.ffi.structural_equal(poison_scratch(lowered), lowered)
