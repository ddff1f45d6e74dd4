"""What is no list of kernels runs as a whole on TVM's virtual machine, and computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.link import Numbering
from mutatenn_backends.llvm import Llvm
from mutatenn_mutators.paper.relu_to_sigmoid import ReluToSigmoid

BRANCH = """
@I.ir_module
class Module:
    @R.function
    def main(image: R.Tensor((1, 4), "float32")) -> R.Tensor((1, 4), "float32"):
        total = R.sum(image)
        positive = R.greater(total, R.const(0, "float32"))
        if positive:
            kept = R.nn.relu(image)
            scores = R.multiply(kept, R.const(2, "float32"))
        else:
            scores = R.negative(image)
        return scores
"""
DYNAMIC = """
@I.ir_module
class Module:
    @R.function
    def main(image: R.Tensor((1, 4), "float32")) -> R.Tensor((1, 4), "float32"):
        n = T.int64()
        with R.dataflow():
            rows = R.match_cast(image, R.Tensor((n, 4), "float32"))
            kept = R.nn.relu(rows)
            scores = R.match_cast(kept, R.Tensor((1, 4), "float32"))
            R.output(scores)
        return scores
"""
PACKED = """
@I.ir_module
class Module:
    @R.function
    def main(image: R.Tensor((1, 4), "float32")) -> R.Tensor((1, 4), "float32"):
        with R.dataflow():
            kept = R.nn.relu(image)
            scores = R.call_dps_packed("mutatenn.test.halve", (kept,), out_ty=R.Tensor((1, 4), "float32"))
            R.output(scores)
        return scores
"""
IMAGES = np.array([[[1, -2, 3, 4]], [[-1, -2, 3, -4]]], np.float32)


@pytest.fixture(scope="module", autouse=True)
def halve() -> None:
    def call(source: Any, target: Any) -> None:
        ir.tvm.runtime.tensor(source.numpy() / 2).copyto(target)

    ir.ffi.register_global_func("mutatenn.test.halve", call, override=True)


def branch(image: Any) -> Any:
    return np.maximum(image, 0) * 2 if image.sum() > 0 else -image


CASES = [
    *((BRANCH, "If is not a value", branch, profile) for profile in ("basic", "default")),
    *(
        (PACKED, "scores is not a plain", lambda x: np.maximum(x, 0) / 2, each)
        for each in ("basic", "default")
    ),
    (DYNAMIC, "has no static shape", lambda x: np.maximum(x, 0), "basic"),
]


@pytest.mark.parametrize("case", CASES)
def test_the_whole_model_is_one_kernel_and_computes_right(
    case: tuple[str, str, Callable[[Any], Any], str],
    classifier: Any,
    backend: Any,
    outputs: Callable[..., NDArray[Any]],
) -> None:
    source, reason, meaning, profile = case
    toolchain = Toolchain(classifier(ir.script.from_source(source)), backend, Profile(profile))
    assert reason in toolchain.fallback
    assert toolchain.units == {}
    assert [call.kernel.name for call in toolchain.program.calls] == ["main"]
    expected = np.concatenate([meaning(image) for image in IMAGES])
    np.testing.assert_array_equal(outputs(toolchain.program, IMAGES), expected)


def test_a_graph_mutant_of_a_whole_model_computes_what_it_says(
    classifier: Any, backend: Any, outputs: Callable[..., NDArray[Any]]
) -> None:
    toolchain = Toolchain(classifier(ir.script.from_source(PACKED)), backend, Profile())
    program, (change,) = toolchain.derive(ReluToSigmoid(), "graph", {"main": [0]})
    assert "R.sigmoid" in change.after
    numbering = Numbering()
    numbers = [numbering.program(each)[each.output] for each in (program, toolchain.program)]
    assert numbers[0] != numbers[1]
    np.testing.assert_allclose(outputs(program, IMAGES), (1 / (1 + np.exp(-IMAGES)) / 2)[:, 0], rtol=1e-6)


def test_a_mutant_that_is_no_list_any_more_runs_as_a_whole(
    classifier: Any, backend: Any, outputs: Callable[..., NDArray[Any]]
) -> None:
    """The original stays a list of kernels."""
    packed = ir.script.from_source(PACKED)
    plain = ir.script.from_source("\n".join(_without_call(PACKED)))
    toolchain = Toolchain(classifier(plain), backend, Profile())
    program = toolchain.compile(packed)
    assert toolchain.fallback == ""
    assert [call.kernel.name for call in toolchain.program.calls] == ["relu"]
    assert [call.kernel.name for call in program.calls] == ["main"]
    np.testing.assert_array_equal(outputs(program, IMAGES), outputs(toolchain.program, IMAGES) / 2)


def _without_call(source: str) -> list[str]:
    lines = [line for line in source.splitlines() if "call_dps_packed" not in line]
    return [line.replace("kept = ", "scores = ") for line in lines]


def test_a_whole_models_digest_covers_code_constants_and_target(classifier: Any, backend: Any) -> None:
    def digest(source: str, target: Any = backend) -> str:
        toolchain = Toolchain(classifier(ir.script.from_source(source)), target, Profile("basic"))
        (kernel,) = toolchain.program.kernels
        return str(kernel)

    original = digest(BRANCH)
    assert digest(BRANCH) == original
    assert digest(BRANCH.replace("R.const(2,", "R.const(3,")) != original
    assert digest(BRANCH.replace("R.negative", "R.exp")) != original
    assert digest(BRANCH, Llvm(mcpu="x86-64")) != digest(BRANCH, Llvm(mcpu="skylake"))
