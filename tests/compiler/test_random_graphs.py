"""Small random graphs compute what numpy does, though one memory of everything serves all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mutatenn import ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.evaluate import Evaluator

SHAPE = (2, 3)
WEIGHT = np.array([[0.5, -1.5, 2.0], [-0.25, 1.0, 3.0]], np.float32)
Step = tuple[str, int, int]

# What each step is in Relax and in numpy; exact on small multiples of powers of two.
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (lambda a, b: ir.relax.op.add(a, b), np.add),
    "subtract": (lambda a, b: ir.relax.op.subtract(a, b), np.subtract),
    "maximum": (lambda a, b: ir.relax.op.maximum(a, b), np.maximum),
    "multiply": (
        lambda a, b: ir.relax.op.clip(ir.relax.op.multiply(a, b), -8, 8),
        lambda a, b: np.clip(a * b, -8, 8),
    ),
    "concat": (
        lambda a, b: ir.relax.op.strided_slice(ir.relax.op.concat([a, b, a]), [0], [1], [3]),
        lambda a, b: np.concatenate([a, b, a])[1:3],
    ),
}
graphs = st.lists(
    st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=6
)


def build(steps: list[Step]) -> Any:
    image = ir.relax.Var("image", ir.relax.TensorType(SHAPE, "float32"))
    builder = ir.relax.BlockBuilder()
    with builder.function("main", [image]):
        with builder.dataflow():
            values = [image, ir.relax.const(WEIGHT)]
            for name, one, other in steps:
                operands = (values[n % len(values)] for n in (one, other))
                values.append(builder.emit(BINARY[name][0](*operands)))
            output = builder.emit_output(ir.relax.op.add(values[-1], image))
        builder.emit_func_output(output)
    return ir.relax.transform.Normalize()(builder.get())


def expected(steps: list[Step], image: NDArray[np.float32]) -> NDArray[np.float32]:
    values = [image, WEIGHT]
    for name, one, other in steps:
        values.append(BINARY[name][1](*(values[n % len(values)] for n in (one, other))))
    return np.asarray(values[-1] + image)


@pytest.fixture(scope="module", params=["basic", "extended"])
def toolchain(request: pytest.FixtureRequest, classifier: Any, backend: Any) -> Toolchain:
    module = build([("multiply", 0, 0), ("add", 2, 2), ("concat", 3, 3)])
    return Toolchain(classifier(module), backend, Profile(request.param))


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=graphs, others=graphs)
def test_a_graph_and_another_one_as_its_mutant(
    toolchain: Toolchain, evaluator: Evaluator, steps: list[Step], others: list[Step]
) -> None:
    original, mutant = (evaluator.link(toolchain.compile(build(each))) for each in (steps, others))
    for seed in (0, 1):
        image = np.random.default_rng(seed).integers(-8, 9, SHAPE).astype(np.float32) / 4
        known = evaluator.original(original, image)
        np.testing.assert_array_equal(evaluator.device.fetch(known.output), expected(steps, image))
        for reuse in (True, False):
            seen = evaluator.mutant(mutant, known, reuse=reuse)
            np.testing.assert_array_equal(evaluator.device.fetch(seen.output), expected(others, image))
