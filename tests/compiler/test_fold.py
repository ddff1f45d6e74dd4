"""Folding constants with numpy gives what Relax computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import ir
from mutatenn.compiler.fold import FOLDS, fold_constants

RNG = np.random.default_rng(0)


def normal(*shape: int, dtype: str = "float32") -> Any:
    return RNG.uniform(0.5, 4, shape).astype(dtype)


def op(name: str) -> Any:
    return lambda *operands: getattr(ir.relax.op, name)(*operands)


def binary(name: str) -> list[Any]:
    return [
        pytest.param(op(name), [normal(2, 3), normal(2, 3)], id=name),
        pytest.param(op(name), [normal(2, 1), normal(3)], id=f"{name}-broadcast"),
        pytest.param(op(name), [normal(2, 3), normal().reshape(())], id=f"{name}-scalar"),
        pytest.param(op(name), [normal(3, dtype="float16"), normal(3, dtype="float16")], id=f"{name}-half"),
        pytest.param(op(name), [np.array([-7, 7, 9]), np.array([2, -2, 4])], id=f"{name}-integers"),
    ]


CASES = [
    *(case for name in ("add", "subtract", "multiply", "divide") for case in binary(name)),
    pytest.param(lambda x: op("add")(x, ir.tirx.FloatImm("float32", 1e-5)), [normal(4)], id="immediate"),
    pytest.param(lambda x: op("reshape")(x, (3, -1)), [normal(2, 6)], id="reshape"),
    pytest.param(lambda x: op("expand_dims")(x, [0, 2]), [normal(2, 3)], id="expand-dims"),
    pytest.param(op("squeeze"), [normal(1, 3, 1)], id="squeeze"),
    pytest.param(op("flatten"), [normal(2, 3, 2)], id="flatten"),
    pytest.param(lambda x: op("permute_dims")(x, [2, 0, 1]), [normal(2, 3, 4)], id="permute"),
    pytest.param(op("permute_dims"), [normal(2, 3, 4)], id="reverse"),
    pytest.param(lambda x: op("broadcast_to")(x, (4, 2, 3)), [normal(2, 1)], id="broadcast-to"),
    pytest.param(op("sqrt"), [normal(5)], id="sqrt"),
    pytest.param(op("rsqrt"), [normal(5)], id="rsqrt"),
    pytest.param(op("negative"), [normal(5)], id="negative"),
    pytest.param(op("isnan"), [np.array([np.nan, 1, np.inf], np.float32)], id="isnan"),
    pytest.param(op("where"), [np.array([True, False, True]), normal(2, 3), normal(3)], id="where"),
]


def graph(build: Any, *operands: Any) -> Any:
    """Return a module that computes an expression of constants, and nothing else."""
    builder = ir.relax.BlockBuilder()
    image = ir.relax.Var("image", ir.relax.TensorType((1,), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            constants = [ir.relax.const(value, str(value.dtype)) for value in operands]
            result = builder.emit_output(build(*constants))
        builder.emit_func_output(result)
    return builder.get()


def folded(module: Any) -> Any:
    """Return the value that is left in place of the expression."""
    value = fold_constants(module)["main"].body.blocks[0].bindings[-1].value
    assert isinstance(value, ir.tvm.ir.GenericConst)
    assert value.ty.dtype == module["main"].ret_ty.dtype
    assert tuple(value.ty.shape) == tuple(module["main"].ret_ty.shape)
    return value.value.numpy()


def evaluated(module: Any) -> Any:
    machine = ir.relax.VirtualMachine(ir.tvm.compile(module, "llvm"), ir.tvm.cpu())
    return machine["main"](ir.tvm.runtime.tensor(np.zeros(1, np.float32))).numpy()


@pytest.mark.parametrize(("build", "operands"), CASES)
def test_folding_gives_what_relax_computes(build: Any, operands: list[Any]) -> None:
    module = graph(build, *operands)
    mine, theirs = folded(module), evaluated(module)
    assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(mine, theirs, rtol=2e-7 if mine.dtype == np.float32 else 1e-3)


def test_every_operator_of_the_table_is_tried_above() -> None:
    tried = set()
    for case in CASES:
        build, operands = case.values
        for binding in graph(build, *operands)["main"].body.blocks[0].bindings:
            tried.add(binding.value.op.name)
    assert tried == set(FOLDS)


def test_scalars_stay_scalars() -> None:
    """Relax itself cannot compile this one; batch norm's epsilon is such a scalar."""
    value = folded(graph(op("add"), np.float32(1.5).reshape(()), np.float32(2).reshape(())))
    assert value.shape == ()
    assert value == 3.5


def test_integers_divide_exactly_and_towards_zero() -> None:
    large = np.array([2**62 + 1, -(2**62) - 1])
    module = graph(op("divide"), large, np.array([1, 2]))
    assert folded(module).tolist() == [2**62 + 1, -(2**61)]


def test_an_integer_division_by_zero_is_left_to_the_program() -> None:
    module = graph(op("divide"), np.array([1, 2]), np.array([1, 0]))
    assert ir.ffi.structural_equal(fold_constants(module), module)


def test_a_float_division_by_zero_is_infinite() -> None:
    value = folded(graph(op("divide"), np.ones(2, np.float32), np.array([0, 2], np.float32)))
    assert value.tolist() == [np.inf, 0.5]


def test_chains_fold_and_what_depends_on_the_image_stays() -> None:
    image = ir.relax.Var("image", ir.relax.TensorType((3,), "float32"))
    builder = ir.relax.BlockBuilder()
    with builder.function("main", [image]):
        with builder.dataflow():
            two = ir.relax.const(np.full(3, 2, np.float32))
            four = builder.emit(op("multiply")(two, two))
            three = builder.emit(op("subtract")(four, ir.relax.const(np.float32(1))))
            result = builder.emit_output(op("add")(image, three))
        builder.emit_func_output(result)
    (*_, folded_three, last) = fold_constants(builder.get())["main"].body.blocks[0].bindings
    assert folded_three.value.value.numpy().tolist() == [3, 3, 3]
    assert last.value.op.name == "relax.add"
    assert last.value.args[0].name == "image"
    assert last.value.args[1].same_as(folded_three.var)


def test_folding_leaves_its_argument_alone() -> None:
    module = graph(op("add"), normal(3), normal(3))
    before = module.script()
    fold_constants(module)
    assert module.script() == before
