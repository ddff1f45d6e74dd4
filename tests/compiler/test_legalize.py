"""A remembered legalisation gives what TVM's LegalizeOps gives, to the letter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import Model, ir
from mutatenn.compiler.legalize import Legalizer

TARGET = "llvm"


def build(*shapes: tuple[int, ...], body: Any) -> Any:
    """Return a module whose main computes ``body(builder, inputs)``."""
    relax = ir.relax
    builder = relax.BlockBuilder()
    inputs = [relax.Var(f"x{n}", relax.TensorType(shape, "float32")) for n, shape in enumerate(shapes)]
    with builder.function("main", inputs):
        with builder.dataflow():
            output = builder.emit_output(body(builder, inputs))
        builder.emit_func_output(output)
    return builder.get()


def constant(*values: float) -> Any:
    return ir.relax.const(np.array(values, np.float32))


def emitting(*makers: Any) -> Any:
    """Return a body that applies each maker to the result of the one before."""

    def body(builder: Any, inputs: list[Any]) -> Any:
        value = inputs[0]
        for maker in makers:
            value = builder.emit(maker(value))
        return value

    return body


def check(legalizer: Legalizer, module: Any) -> Any:
    """Legalise twice and as TVM does; return TVM's."""
    module = ir.relax.transform.Normalize()(module)
    with ir.tvm.target.Target(TARGET):
        expected = ir.relax.transform.LegalizeOps()(module)
        for _ in range(2):
            ir.tvm.ir.assert_structural_equal(legalizer(module), expected)
            assert names(legalizer(module)) == names(expected)
    return expected


def names(module: Any) -> list[str]:
    return sorted(variable.name_hint for variable in module.get_global_vars())


def ops() -> dict[str, Any]:
    op = ir.relax.op
    return {
        "the same operator twice": emitting(op.nn.relu, op.nn.relu, op.exp, op.exp),
        "other attributes": emitting(
            lambda x: op.permute_dims(x, [0, 2, 1]), lambda x: op.permute_dims(x, [1, 0, 2])
        ),
        "scalars": emitting(
            lambda x: op.add(x, ir.relax.const(np.float32(2))),
            lambda x: op.add(x, ir.relax.const(np.float32(3))),
            lambda x: op.add(x, constant(1, 2, 3, 4)),
            lambda x: op.add(x, constant(4, 3, 2, 1)),
        ),
        "bounds": emitting(
            lambda x: op.clip(x, 0, 6), lambda x: op.clip(x, 0, 1), lambda x: op.clip(x, 0, 6)
        ),
        "shapes": emitting(lambda x: op.reshape(x, (6, 4)), lambda x: op.reshape(x, (4, 6))),
        "one argument twice": emitting(lambda x: op.multiply(x, x), lambda x: op.add(x, op.exp(x))),
        "tuples": emitting(
            lambda x: op.concat([x, x], axis=1),
            lambda x: op.concat([x, x], axis=1),
            lambda x: op.split(x, 2, axis=1),
            lambda x: ir.relax.TupleGetItem(x, 1),
        ),
    }


@pytest.mark.parametrize("case", sorted(ops()))
def test_each_kind_of_argument_counts(case: str) -> None:
    check(Legalizer(), build((2, 3, 4), body=ops()[case]))


def test_one_memory_serves_all_modules() -> None:
    legalizer = Legalizer()
    for body in (*ops().values(), *ops().values()):
        check(legalizer, build((2, 3, 4), body=body))
    for shape in ((2, 3, 4), (2, 3, 5), (2, 3, 4)):
        check(legalizer, build(shape, body=ops()["the same operator twice"]))


def test_batch_norm_and_dropped_results(capfd: pytest.CaptureFixture[str]) -> None:
    """Its kernel has three results."""
    weights = [constant(*range(1, 4))] * 4

    def body(builder: Any, inputs: list[Any]) -> Any:
        first, second = (
            builder.emit(ir.relax.op.nn.batch_norm(value, *weights, axis=1))
            for value in (inputs[0], inputs[0])
        )
        return builder.emit(
            ir.relax.op.add(ir.relax.TupleGetItem(first, 0), ir.relax.TupleGetItem(second, 0))
        )

    legal = check(Legalizer(), build((1, 3, 4, 4), body=body))
    assert "batch_norm" in legal.script()
    assert "Warning" not in capfd.readouterr().err


def test_a_symbolic_shape_stays_symbolic() -> None:
    size = ir.tirx.Var("n", "int64")
    check(Legalizer(), build((1, size), body=ops()["the same operator twice"]))  # type: ignore[arg-type]


def test_the_bundled_classifier(model: Model) -> None:
    check(Legalizer(), model.module)
