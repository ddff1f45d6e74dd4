"""Lowered modules are read as straight lists of calls, or said not to be such."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import Constant, Kernel, Program, TensorSpec, ir
from mutatenn.compiler.listing import NotAListError, array_of, list_calls

MODULE = """
@I.ir_module(s_tir=True)
class Module:
    @T.prim_func(private=True, s_tir=True)
    def add(a: T.Buffer((4,), "float32"), b: T.Buffer((4,), "float32"), c: T.Buffer((4,), "float32")):
        for i in range(4):
            with T.sblock("c"):
                v = T.axis.spatial(4, i)
                c[v] = a[v] + b[v]

    @T.prim_func(private=True, s_tir=True)
    def split(a: T.Buffer((4,), "float32"), b: T.Buffer((2,), "float32"), c: T.Buffer((2,), "int32")):
        for i in range(2):
            with T.sblock("bc"):
                v = T.axis.spatial(2, i)
                b[v] = a[v]
                c[v] = T.int32(7)

    @R.function
    def main(image: R.Tensor((4,), "float32")):
        cls = Module
        with R.dataflow():
{lines}
            R.output(out)
        return out
"""
FOUR = 'R.Tensor((4,), "float32")'
SPLIT = 'R.call_tir(cls.split, (image,), out_ty=[R.Tensor((2,), "float32"), R.Tensor((2,), "int32")])'


def module(*lines: str) -> Any:
    return ir.script.from_source(MODULE.format(lines="\n".join(" " * 12 + line for line in lines)))


def add(one: str, other: str) -> str:
    return f"R.call_tir(cls.add, ({one}, {other}), out_ty={FOUR})"


def listed(lowered: Any) -> Program:
    def constant(expr: Any) -> Constant:
        value = array_of(expr)
        return Constant(f"{value.dtype} {value.shape} {value.tobytes().hex()}", value)

    return list_calls(lowered, lambda name, function: Kernel(name, name, function), constant)


def calls(program: Program) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [(call.kernel.name, call.arguments, call.results) for call in program.calls]


def test_calls_values_and_specs_stand_in_order() -> None:
    program = listed(module(f"one = {add('image', 'image')}", f"out = {add('image', 'one')}"))
    assert calls(program) == [("add", (0, 0), (1,)), ("add", (0, 1), (2,))]
    assert program.values == tuple(TensorSpec(name, (4,)) for name in ("image", "one", "out"))
    assert (program.input, program.output, program.constants) == (0, 2, {})
    assert list(program.kernels) == ["add"]


def test_several_results_are_told_apart() -> None:
    program = listed(module(f"pair = {SPLIT}", "out = pair[0]"))
    assert calls(program) == [("split", (0,), (1, 2))]
    assert program.output == 1
    assert program.values[1:] == (TensorSpec("pair.0", (2,)), TensorSpec("pair.1", (2,), "int32"))


def test_aliases_and_tuples_are_no_values_of_their_own() -> None:
    program = listed(
        module(
            f"one = {add('image', 'image')}",
            "same = one",
            "pair = (image, (same, image))",
            "inner = pair[1]",
            "last = inner[0]",
            f"two = {add('last', 'image')}",
            "out = (two,)",
        )
    )
    assert calls(program) == [("add", (0, 0), (1,)), ("add", (1, 0), (2,))]
    assert program.output == 2


def test_the_image_itself_can_be_the_output() -> None:
    program = listed(module("out = image"))
    assert (program.input, program.output, program.calls) == (0, 0, ())


def test_equal_constants_are_one_value() -> None:
    relax = ir.relax
    image = relax.Var("image", relax.TensorType((4,), "float32"))
    lowered = module(f"out = {add('image', 'image')}")
    builder = relax.BlockBuilder(lowered)
    weights = [relax.const(np.full(4, value, np.float32)) for value in (1, 1, 2)]
    with builder.function("other", [image]):
        with builder.dataflow():
            value = image
            for weight in weights:
                arguments = relax.Tuple([value, weight])
                value = builder.emit(
                    relax.call_tir(
                        lowered.get_global_var("add"), arguments, relax.TensorType((4,), "float32")
                    )
                )
            value = builder.emit_output(value)
        builder.emit_func_output(value)
    finished = builder.get()
    finished["main"] = finished["other"].with_attr("global_symbol", "main")
    program = listed(finished)
    assert calls(program) == [("add", (0, 1), (2,)), ("add", (2, 1), (3,)), ("add", (3, 4), (5,))]
    assert {index: each.value.tolist() for index, each in program.constants.items()} == {
        1: [1, 1, 1, 1],
        4: [2, 2, 2, 2],
    }


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool", "uint8"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_a_constant_keeps_content_shape_and_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    value = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    array = array_of(ir.relax.const(value, dtype))
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
    assert array.tolist() == value.tolist()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["out = (image, image)"], "main returns several tensors"),
        (["out = R.add(image, image)"], "out is not a plain kernel call"),
        ([f'out = R.call_dps_packed("f", (image,), out_ty={FOUR})'], "out is not a plain kernel call"),
        (['out = R.call_pure_packed("f", image, ty_args=' + FOUR + ")"], "out is not a plain kernel call"),
        (["shape = R.shape([4])", "out = image"], "ShapeExpr is not a value"),
    ],
)
def test_what_is_no_list_says_why(lines: list[str], reason: str) -> None:
    with pytest.raises(NotAListError) as caught:
        listed(module(*lines))
    assert reason in str(caught.value)
