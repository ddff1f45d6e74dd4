"""What is imported computes what TFLite's interpreter computes, in a form fit for mutation."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from mutatenn import InputError, TensorSpec, ir
from mutatenn.testing import check_frontend
from mutatenn_frontends.tflite import Tflite, mutatenn_frontends

HEAVY = "'tflite', 'flatbuffers', 'ai_edge_litert', 'tflite_runtime', 'tensorflow', 'tvm'"


def test_contribution() -> None:
    assert mutatenn_frontends() == (Tflite,)
    assert (Tflite.name, Tflite.suffixes) == ("tflite", (".tflite",))


def test_the_plugin_imports_nothing_heavy() -> None:
    code = f"import sys, mutatenn_frontends.tflite; print({{{HEAVY}}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "set()\n"


def test_model(load: Any, plain: bytes, agree: Any, capfd: pytest.CaptureFixture[str]) -> None:
    model = load(plain)
    assert model.name == "net"
    assert model.input == TensorSpec("image", (1, 8, 8, 3))
    assert model.output == TensorSpec("scores", (1, 5))
    assert model.digest == sha256(plain).hexdigest()
    main = model.module["main"]
    assert len(main.params) == 1
    assert "params" not in main.attrs  # the weights are constants of the body, once
    agree(model)
    assert capfd.readouterr() == ("", "")


def test_it_keeps_its_promises(write: Any, plain: bytes) -> None:
    check_frontend(Tflite, write(plain), np.random.default_rng(5).uniform(-1, 1, (3, 8, 8, 3)))


LAYERS: dict[str, tuple[tuple[str, dict[str, Any]], tuple[int, ...], tuple[int, ...] | None]] = {
    "CONV_2D": (("Conv2DOptions", {"StrideW": 2, "StrideH": 2}), (4, 4, 6), (6, 3, 3, 4)),
    "DEPTHWISE_CONV_2D": (
        ("DepthwiseConv2DOptions", {"StrideW": 1, "StrideH": 1, "DepthMultiplier": 2}),
        (8, 8, 8),
        (1, 3, 3, 8),
    ),
    "AVERAGE_POOL_2D": (
        ("Pool2DOptions", {"StrideW": 2, "StrideH": 2, "FilterWidth": 3, "FilterHeight": 3}),
        (4, 4, 4),
        None,
    ),
    "MAX_POOL_2D": (
        ("Pool2DOptions", {"StrideW": 2, "StrideH": 2, "FilterWidth": 3, "FilterHeight": 3}),
        (4, 4, 4),
        None,
    ),
}


def features(net: Any) -> int:
    """Add a convolution to ``[1, 8, 8, 4]`` without an activation."""
    options = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1})
    return net.add("CONV_2D", [net.image, net.weight(4, 1, 1, 3), net.weight(4)], 1, 8, 8, 4, options=options)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("operator", LAYERS)
def test_layers(net: Any, load: Any, agree: Any, operator: str, padding: str) -> None:
    built = net()
    (kind, values), (height, width, channels), kernel = LAYERS[operator]
    if padding == "VALID":
        height = width = {4: 3, 8: 6}[height]
    values = values | {"Padding": getattr(built.tflite.Padding, padding)}
    inputs = [features(built)] + ([built.weight(*kernel), built.weight(channels)] if kernel else [])
    found = built.add(operator, inputs, 1, height, width, channels, options=(kind, values))
    agree(load(built.content(built.dense(built.mean(found, channels), channels))))


@pytest.mark.parametrize("activation", ["RELU", "RELU6", "RELU_N1_TO_1", "TANH"])
def test_fused_activations(net: Any, load: Any, agree: Any, activation: str) -> None:
    built = net()
    if activation == "TANH":
        options = None
        found = built.add(activation, [features(built)], 1, 8, 8, 4)
    else:
        kind = getattr(built.tflite.ActivationFunctionType, activation)
        options = ("AddOptions", {"FusedActivationFunction": kind})
        data = features(built)
        found = built.add("ADD", [data, data], 1, 8, 8, 4, options=options)
    agree(load(built.content(built.dense(built.mean(found)))))


def test_softmax(net: Any, load: Any, agree: Any) -> None:
    built = net()
    scores = built.add(
        "SOFTMAX", [built.dense(built.pooled())], 1, 5, options=("SoftmaxOptions", {"Beta": 1.0})
    )
    np.testing.assert_allclose(agree(load(built.content(scores))).sum(axis=1), 1, rtol=1e-5)


def test_a_free_batch_is_one(net: Any, load: Any, agree: Any) -> None:
    """Keras' Flatten as converters write it: the size is computed from the shape, which is constant."""
    built = net(signature=(-1, 8, 8, 3))
    data = features(built)
    shape = built.add("SHAPE", [data], 4, dtype="int32", options=("ShapeOptions", {"OutType": 2}))
    slices = [shape, built.constant(0), built.constant(1), built.constant(1)]
    options = ("StridedSliceOptions", {"ShrinkAxisMask": 1})
    batch = built.add("STRIDED_SLICE", slices, dtype="int32", options=options)
    rest = built.tensor(dtype="int32", value=256)
    size = built.add("PACK", [batch, rest], 2, dtype="int32", options=("PackOptions", {"ValuesCount": 2}))
    flat = built.add("RESHAPE", [data, size], 1, 256, options=("ReshapeOptions", {}), signature=(-1, 256))
    model = load(built.content(built.dense(flat, 256)))
    assert "strided_slice" not in model.module.script()
    agree(model)


def test_half_precision_weights(net: Any, load: Any, agree: Any) -> None:
    built = net()
    half = built.tensor(4, 1, 1, 3, dtype="float16", value=built.random.standard_normal((4, 1, 1, 3)))
    kernel = built.add("DEQUANTIZE", [half], 4, 1, 1, 3)
    options = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1})
    found = built.add("CONV_2D", [built.image, kernel, built.weight(4)], 1, 8, 8, 4, options=options)
    agree(load(built.content(built.dense(built.mean(found)))))


def test_weights_stored_as_int8(net: Any, load: Any, agree: Any) -> None:
    built = net()
    values = built.random.integers(-127, 128, (4, 1, 1, 3))
    small = built.tensor(4, 1, 1, 3, dtype="int8", value=values, scale=[0.01, 0.02, 0.03, 0.04], name="w")
    kernel = built.add("DEQUANTIZE", [small], 4, 1, 1, 3)
    options = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1})
    found = built.add("CONV_2D", [built.image, kernel, built.weight(4)], 1, 8, 8, 4, options=options)
    agree(load(built.content(built.dense(built.mean(found)))))


def test_bytes_as_image(net: Any, load: Any, agree: Any) -> None:
    built = net(dtype="uint8")
    built.image = built.add("CAST", [built.image], 1, 8, 8, 3)
    model = load(built.content(built.dense(built.pooled())))
    assert model.input == TensorSpec("image", (1, 8, 8, 3), "uint8")
    agree(model)


def test_scores_are_flattened(net: Any, load: Any, agree: Any) -> None:
    built = net()
    pool = ("Pool2DOptions", {"StrideW": 8, "StrideH": 8, "FilterWidth": 8, "FilterHeight": 8})
    model = load(built.content(built.add("AVERAGE_POOL_2D", [features(built)], 1, 1, 1, 4, options=pool)))
    assert model.output.shape == (1, 4)
    agree(model)


@pytest.mark.parametrize("first", [True, False])
def test_the_only_classifier_among_the_outputs(net: Any, load: Any, agree: Any, first: bool) -> None:
    built = net()
    more = features(built)
    scores = built.dense(built.pooled())
    model = load(built.content(*((scores, more) if first else (more, scores))))
    assert model.output == TensorSpec("scores", (1, 5))
    assert model.module.script().count("nn.conv2d") == 1  # the other output is dead code
    agree(model)


def test_names_may_be_missing(net: Any, load: Any, agree: Any) -> None:
    built = net(name="")
    agree(load(built.content(built.dense(built.pooled()))))


def test_one_score(net: Any, load: Any, agree: Any) -> None:
    built = net()
    total = built.add("SUM", [built.pooled(), built.constant(1)], 1)
    model = load(built.content(built.add("LOGISTIC", [total], 1, name="scores")))
    assert model.output == TensorSpec("scores", (1, 1))
    agree(model)


def test_one_of_several_outputs(net: Any, write: Any) -> None:
    built = net()
    features = built.pooled()
    path = write(built.content(*(built.dense(features, name=name) for name in ("one", "two"))))
    images = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype(np.float32)
    found = []
    for name in ("one", "two"):
        frontend = Tflite(output=name)
        model = frontend.load(path)
        assert model.output == TensorSpec(name, (1, 5))
        found.append(frontend.reference(model, images))
        machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
        compiled = [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images]
        np.testing.assert_allclose(np.concatenate(compiled), found[-1], rtol=1e-4, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.1
    with pytest.raises(
        InputError, match=r"has no output 'three'; set model\.options\.output to one of one, two$"
    ):
        Tflite(output="three").load(path)
