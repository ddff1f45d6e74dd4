"""A remembered legalisation gives what TVM's LegalizeOps gives, to the letter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def equal_operands() -> dict[str, Any]:
    """Return calls of the same operators on the same types; in each group, other operands are equal."""
    op, number, vector = ir.relax.op, constant(2), constant(*range(24))
    return {
        "a product": [
            lambda x, y, a=a, b=b: op.multiply((x, y)[a], (x, y)[b]) for a in (0, 1) for b in (0, 1)
        ],
        "a small constant": [
            lambda x, y: op.where(op.greater(number, number), x, y),
            lambda x, y: op.where(op.greater(number, constant(2)), y, y),
            lambda x, y: op.where(op.greater(number, number), y, y),
        ],
        "a large constant": [
            lambda x, y: op.multiply(op.add(vector, vector), op.reshape(x, (24,))),
            lambda x, y: op.multiply(op.add(vector, constant(*range(1, 25))), op.reshape(x, (24,))),
        ],
        "members of a tuple": [
            lambda x, y, parts=parts: op.concat([(x, y)[part] for part in parts])
            for parts in ((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0))
        ],
        "three operands": [
            lambda x, y, a=a, b=b: op.where(op.greater(x, y), (x, y)[a], (x, y)[b])
            for a, b in ((0, 0), (0, 1), (1, 0), (1, 1))
        ],
    }


@pytest.mark.parametrize(
    "kind", ["a product", "a small constant", "a large constant", "members of a tuple", "three operands"]
)
@pytest.mark.parametrize("backwards", [False, True])
def test_equal_operands_are_not_taken_for_others(kind: str, backwards: bool) -> None:
    legalizer = Legalizer()
    makers = equal_operands()[kind]
    for maker in reversed(makers) if backwards else makers:
        check(legalizer, build((2, 3, 4), (2, 3, 4), body=lambda builder, xs: builder.normalize(maker(*xs))))  # noqa: B023


MEMORY = Legalizer()
STEPS = ("add", "multiply", "subtract", "maximum", "where", "concat")


@given(st.lists(st.tuples(st.sampled_from(STEPS), *[st.integers(0, 9)] * 3), min_size=1, max_size=6))
def test_random_graphs_in_any_order(steps: list[tuple[str, int, int, int]]) -> None:
    """One memory for all examples: each finds what the ones before have left."""
    op = ir.relax.op

    def body(builder: Any, inputs: list[Any]) -> Any:
        values = [*inputs, constant(1, 2, 3, 4), ir.relax.const(np.ones((2, 3, 4), np.float32))]
        for name, *operands in steps:
            a, b, c = (values[operand % len(values)] for operand in operands)
            if name == "where":
                value = op.where(builder.emit(op.less(a, b)), b, c)
            elif name == "concat":
                whole = [op.broadcast_to(each, (2, 3, 4)) for each in (a, b, c)]
                value = op.split(builder.emit(op.concat([builder.emit(each) for each in whole])), 3)[1]
            else:
                value = getattr(op, name)(a, b)
            values.append(builder.emit(value))
        return values[-1]

    check(MEMORY, build((2, 3, 4), (2, 3, 4), body=body))


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
