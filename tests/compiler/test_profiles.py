"""Profiles name passes; whatever the passes, the classifier computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sampling import sampled

from mutatenn import InputError, Model, ir
from mutatenn.compiler.profiles import PROFILES, SEQUENCE, Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_frontends.onnx import Onnx

PASSES = tuple(dict.fromkeys(SEQUENCE))


def test_a_profile_lists_its_passes_in_order() -> None:
    assert Profile("basic").passes == ("LegalizeOps", "DeadCodeElimination")
    assert Profile("default").passes == (
        "CanonicalizeBindings",
        "FoldConstant",
        "FoldBatchnormToConv2D",
        "DecomposeOpsForInference",
        "FoldConstant",
        "FoldConstant",
        "LegalizeOps",
        "FuseOps",
        "DeadCodeElimination",
    )
    assert Profile("extended").passes == SEQUENCE


def test_single_passes_go_off_and_on() -> None:
    profile = Profile("default", off=("FoldConstant", "FuseOps"), on=("FastMathTransform",))
    assert profile.passes == (
        "CanonicalizeBindings",
        "FoldBatchnormToConv2D",
        "DecomposeOpsForInference",
        "FastMathTransform",
        "LegalizeOps",
        "DeadCodeElimination",
    )
    assert str(profile) == "default -FoldConstant -FuseOps +FastMathTransform"
    assert Profile("basic", on=PASSES).passes == SEQUENCE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": "extnded"}, "unknown profile 'extnded'; did you mean 'extended'? known: basic, default"),
        ({"base": "qqq"}, "unknown profile 'qqq'; known: basic, default, extended"),
        ({"off": ("FuseOp",)}, "unknown pass 'FuseOp'; did you mean 'FuseOps'? known: CanonicalizeBindings"),
        ({"on": ("foldconstant",)}, "unknown pass 'foldconstant'; did you mean 'FoldConstant'? known: "),
        ({"on": ("qqq",)}, "unknown pass 'qqq'; known: CanonicalizeBindings, FoldConstant, "),
        ({"off": ("LegalizeOps",)}, "pass LegalizeOps cannot be switched off: "),
        ({"base": "basic", "off": ("DeadCodeElimination",)}, "pass DeadCodeElimination cannot be"),
    ],
)
def test_what_cannot_be_is_an_input_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Profile(**arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "profile",
    [
        *(Profile(base) for base in PROFILES),
        *sampled((Profile("default", off=(n,)) for n in sorted(PROFILES["default"] - PROFILES["basic"])), 3),
        *sampled((Profile("basic", on=(name,)) for name in PASSES if name not in PROFILES["basic"]), 3),
    ],
    ids=str,
)
def test_every_profile_computes_what_onnxruntime_does(
    profile: Profile,
    model: Model,
    backend: Any,
    images: NDArray[Any],
    outputs: Callable[..., NDArray[Any]],
) -> None:
    toolchain = Toolchain(model, backend, profile)
    assert toolchain.fallback == ""
    expected = Onnx().reference(model, images)
    assert expected.argmax(axis=1).tolist() == list(range(10))
    np.testing.assert_allclose(outputs(toolchain.program, images), expected, rtol=0, atol=1e-5)


def test_the_profiles_compile_to_different_code(toolchain: Toolchain, unfused: Toolchain) -> None:
    assert len(unfused.program.calls) > len(toolchain.program.calls)
    assert len(unfused.program.kernels) < len(unfused.program.calls)


def test_lowering_leaves_the_model_alone(model: Model, backend: Any) -> None:
    before = ir.ffi.structural_hash(model.module)
    Toolchain(model, backend, Profile("extended"))
    assert ir.ffi.structural_hash(model.module) == before


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_a_stack_that_is_reduced_changes_its_layout(
    axis: int, backend: Any, classifier: Callable[[Any], Model], outputs: Callable[..., NDArray[Any]]
) -> None:
    op, builder = ir.relax.op, ir.relax.BlockBuilder()
    image = ir.relax.Var("image", ir.relax.TensorType((1, 3, 2, 4), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            stacked = builder.emit(op.stack([image, op.exp(image), image], axis))
            scores = builder.emit_output(op.reshape(op.sum(stacked, axis), (1, 24)))
        builder.emit_func_output(scores)
    images = np.random.default_rng(6).normal(size=(2, 3, 2, 4)).astype(np.float32)
    toolchain = Toolchain(classifier(builder.get()), backend, Profile("extended"))
    found = outputs(toolchain.program, images)
    np.testing.assert_allclose(found, (2 * images + np.exp(images)).reshape(2, 24), rtol=1e-5)
