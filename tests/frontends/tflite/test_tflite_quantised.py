"""Operators on int8 compute what TFLite's interpreter computes by default, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import TensorSpec, ir
from mutatenn_frontends.tflite import Tflite

SEEDS = range(2)
DATA = {"dtype": "int8", "scale": 0.047, "zero": -7}


@pytest.fixture
def same(load: Any) -> Any:
    """Check that the compiled model and the interpreter agree exactly, on scores that differ; return it."""

    def check(content: bytes) -> Any:
        model = load(content)
        random = np.random.default_rng(5)
        images = random.normal(-7, 60, (20, *model.input.shape[1:])).round()
        if model.input.dtype == "float32":
            images = images / 60
        else:
            bounds = np.iinfo(model.input.dtype)
            images = np.clip(images + bounds.max - 127, bounds.min, bounds.max)
        images = images.astype(model.input.dtype)
        expected = Tflite().reference(model, images)
        assert expected.dtype == np.float32
        assert len(np.unique(expected)) > 12
        machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
        actual = [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images]
        np.testing.assert_array_equal(np.concatenate(actual), expected)
        return model

    return check


class Quantised:
    """Builds graphs of one image int8[1, 8, 8, 4] and one operator, with random scales."""

    def __init__(self, net: Any, seed: int, *image: int, **fields: Any) -> None:
        self.built = net(*(image or (1, 8, 8, 4)), **(fields or DATA))
        self.built.random = self.random = np.random.default_rng(seed)

    def scale(self) -> float:
        return float(self.random.uniform(0.02, 0.2))

    def kind(self, **fields: Any) -> dict[str, Any]:
        return {"dtype": "int8", "scale": self.scale(), "zero": int(self.random.integers(-30, 30))} | fields

    def weights(self, *shape: int, axis: int) -> list[int]:
        """Add weights with a scale per channel, and a bias of as many channels; return their numbers."""
        count = shape[axis]
        scales = self.random.uniform(0.002, 0.02, count).astype(np.float32)
        kernel = self.random.integers(-127, 128, shape)
        bias = self.random.integers(-900, 900, count)
        steps = (scales * np.float32(DATA["scale"])).tolist()
        return [
            self.built.tensor(*shape, dtype="int8", value=kernel, scale=scales.tolist(), axis=axis, name="w"),
            self.built.tensor(count, dtype="int32", value=bias, scale=steps, name="b"),
        ]

    def finish(self, found: int, size: int) -> bytes:
        """Return the file of a graph whose scores, ``[1, size]``, are the values of a tensor."""
        shape = self.built.constant(1, size)
        options = ("ReshapeOptions", {})
        flat = self.built.add("RESHAPE", [found, shape], 1, size, options=options, **self.last, name="scores")
        return bytes(self.built.content(flat))

    def add(self, operator: str, inputs: list[int], *shape: int, options: Any = None, **fields: Any) -> int:
        self.last = self.kind(**fields)
        return int(self.built.add(operator, inputs, *shape, options=options, **self.last))


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6"])
@pytest.mark.parametrize("operator", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_convolutions(net: Any, same: Any, operator: str, activation: str) -> None:
    built = Quantised(net, 1)
    options: dict[str, Any] = {"StrideW": 2, "StrideH": 2}
    options["FusedActivationFunction"] = getattr(built.built.tflite.ActivationFunctionType, activation)
    if operator == "CONV_2D":
        weights, kind = built.weights(8, 3, 3, 4, axis=0), "Conv2DOptions"
    else:
        weights, kind = built.weights(1, 3, 3, 8, axis=3), "DepthwiseConv2DOptions"
        options["DepthMultiplier"] = 2
    found = built.add(operator, [built.built.image, *weights], 1, 4, 4, 8, options=(kind, options))
    model = same(built.finish(found, 128))
    assert model.input == TensorSpec("image", (1, 8, 8, 4), "int8")
    assert model.output == TensorSpec("scores", (1, 128))


def test_deep_convolution(net: Any, same: Any) -> None:
    """Its sums have six digits; float32 would round those of products of real numbers."""
    built = Quantised(net, 2, 1, 4, 4, 256, **DATA)
    weights = built.weights(16, 3, 3, 256, axis=0)
    options = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1})
    found = built.add("CONV_2D", [built.built.image, *weights], 1, 4, 4, 16, options=options, scale=1.7)
    same(built.finish(found, 256))


@pytest.mark.parametrize("seed", SEEDS)
def test_dense(net: Any, same: Any, seed: int) -> None:
    built = Quantised(net, seed)
    options = ("FullyConnectedOptions", {})
    data = [built.built.image, built.built.constant(1, 256)]
    flat = built.add("RESHAPE", data, 1, 256, options=("ReshapeOptions", {}), **DATA)
    inputs = [flat, *built.weights(32, 256, axis=0)]
    found = built.add("FULLY_CONNECTED", inputs, 1, 32, options=options, scale=0.4)
    same(built.finish(found, 32))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("operator", ["ADD", "SUB", "MUL"])
def test_of_two_tensors(net: Any, same: Any, operator: str, seed: int) -> None:
    built = Quantised(net, seed)
    options = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1})
    weights = built.weights(4, 1, 1, 4, axis=0)
    other = built.add("CONV_2D", [built.built.image, *weights], 1, 8, 8, 4, options=options)
    relu = built.built.tflite.ActivationFunctionType.RELU if seed == 0 else 0
    kind = (f"{operator.capitalize()}Options", {"FusedActivationFunction": relu})
    found = built.add(operator, [built.built.image, other], 1, 8, 8, 4, options=kind, scale=0.09)
    same(built.finish(found, 256))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("operator", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_pooling(net: Any, same: Any, operator: str, padding: str) -> None:
    """Windows of four, whose averages are halves and quarters; at the edge of fewer."""
    built = Quantised(net, 1)
    values = {"StrideW": 1, "StrideH": 1, "FilterWidth": 2, "FilterHeight": 2}
    values["Padding"] = getattr(built.built.tflite.Padding, padding)
    size = 8 if padding == "SAME" else 7
    shape = (1, size, size, 4)
    found = built.add(operator, [built.built.image], *shape, options=("Pool2DOptions", values), **DATA)
    same(built.finish(found, size * size * 4))


@pytest.mark.parametrize("seed", SEEDS)
def test_mean(net: Any, same: Any, seed: int) -> None:
    built = Quantised(net, seed)
    inputs = [built.built.image, built.built.constant(1, 2)]
    found = built.add("MEAN", inputs, 1, 4, options=("ReducerOptions", {}), scale=0.02)
    same(built.finish(found, 4))


CURVES = {
    "SOFTMAX": {"scale": 1 / 256, "zero": -128},
    "LOGISTIC": {"scale": 1 / 256, "zero": -128},
    "TANH": {"scale": 1 / 128, "zero": 0},
    "RELU": {},
    "RELU6": {},
    "QUANTIZE": {"scale": 0.07, "zero": 3},
}


@pytest.mark.parametrize("operator", CURVES)
@pytest.mark.parametrize("step", [0.02, 0.2])
def test_curves(net: Any, same: Any, operator: str, step: float) -> None:
    built = Quantised(net, 1, 1, 8, 8, 4, **DATA | {"scale": step})
    options = ("SoftmaxOptions", {"Beta": 1.0}) if operator == "SOFTMAX" else None
    kind = DATA | {"scale": step} | CURVES[operator]
    found = built.add(operator, [built.built.image], 1, 8, 8, 4, options=options, **kind)
    same(built.finish(found, 256))


def test_values_that_only_move(net: Any, same: Any) -> None:
    built = Quantised(net, 1)
    built.kind = lambda **_: DATA  # type: ignore[method-assign]
    pads = built.built.tensor(4, 2, dtype="int32", value=[[0, 0], [1, 1], [1, 1], [0, 0]], name="pads")
    padded = built.add("PAD", [built.built.image, pads], 1, 10, 10, 4, options=("PadOptions", {}))
    axes = built.built.constant(0, 3, 1, 2)
    turned = built.add("TRANSPOSE", [padded, axes], 1, 4, 10, 10, options=("TransposeOptions", {}))
    axis = ("ConcatenationOptions", {"Axis": 3})
    same(built.finish(built.add("CONCATENATION", [turned, turned], 1, 4, 10, 20, options=axis), 800))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_images_of_other_dtypes(net: Any, same: Any, dtype: str) -> None:
    """Converters put a QUANTIZE behind the image and, at the end, its like before the scores."""
    fields = {"dtype": dtype} | ({"scale": 0.047, "zero": 121} if dtype == "uint8" else {})
    built = Quantised(net, 1, 1, 8, 8, 4, **fields)
    image = built.add("QUANTIZE", [built.built.image], 1, 8, 8, 4, **DATA)
    options = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1})
    found = built.add("CONV_2D", [image, *built.weights(4, 1, 1, 4, axis=0)], 1, 8, 8, 4, options=options)
    flat = built.built.add("RESHAPE", [found, built.built.constant(1, 256)], 1, 256, **built.last)
    if dtype == "uint8":
        last = built.last | {"dtype": "uint8", "zero": built.last["zero"] + 128}
        scores = built.built.add("QUANTIZE", [flat], 1, 256, **last)
    else:
        scores = built.built.add("DEQUANTIZE", [flat], 1, 256)
    model = same(built.built.content(scores))
    assert model.input.dtype == dtype


def test_nothing_is_printed(net: Any, same: Any, capfd: pytest.CaptureFixture[str]) -> None:
    built = Quantised(net, 1)
    found = built.add("MEAN", [built.built.image, built.built.constant(1, 2)], 1, 4)
    same(built.finish(found, 4))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(6))
def test_hard_swish(net: Any, same: Any, seed: int) -> None:
    """Of scales with which [-3, 3] is a small and a large part of the range, and results saturate."""
    image = {"dtype": "int8", "scale": 0.005 * 2.4**seed, "zero": 9 * seed - 20}
    built = Quantised(net, seed, 1, 8, 8, 4, **image)
    found = built.add(
        "HARD_SWISH",
        [built.built.image],
        1,
        8,
        8,
        4,
        scale=float(built.random.uniform(0.3, 3)) * image["scale"],
    )
    same(built.finish(found, 256))


@pytest.fixture
def near(load: Any) -> Any:
    """Check that compiled scores of floats are the interpreter's, but for the rounding of one product."""

    def check(content: bytes) -> None:
        model = load(content)
        images = np.random.default_rng(5).normal(0.3, 1, (20, *model.input.shape[1:])).astype(np.float32)
        images[0], images[1], images[2] = 0, abs(images[1]), -abs(images[2])
        expected = Tflite().reference(model, images)
        machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
        actual = [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images]
        assert np.unique(expected[3:]).size > 100
        np.testing.assert_allclose(np.concatenate(actual), expected, rtol=0, atol=1e-6 * abs(expected).max())

    return check


def layer(net: Any, operator: str, activation: str) -> bytes:
    """Return a net of floats with one layer whose weights are int8."""
    built = net(1, 8, 8, 16)
    options: dict[str, Any] = {
        "FusedActivationFunction": getattr(built.tflite.ActivationFunctionType, activation)
    }
    size = {"CONV_2D": (8, 3, 3, 16), "DEPTHWISE_CONV_2D": (1, 3, 3, 16), "FULLY_CONNECTED": (40, 1024)}[
        operator
    ]
    axis, data, shape = 3 if operator == "DEPTHWISE_CONV_2D" else 0, built.image, (1, 8, 8, size[0])
    kind = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions"}.get(
        operator, "FullyConnectedOptions"
    )
    if operator == "FULLY_CONNECTED":
        flat = [built.image, built.constant(1, 1024)]
        data = built.add("RESHAPE", flat, 1, 1024, options=("ReshapeOptions", {}))
        options["AsymmetricQuantizeInputs"], shape, count = True, (1, 40), 1
    else:
        options |= {"StrideW": 1, "StrideH": 1}
        count = size[axis]
    if operator == "DEPTHWISE_CONV_2D":
        options["DepthMultiplier"], shape = 1, (1, 8, 8, 16)
    scales = built.random.uniform(0.002, 0.02, count).astype(np.float32).tolist()
    values = built.random.integers(-127, 128, size)
    weights = built.tensor(*size, dtype="int8", value=values, scale=scales, axis=axis, name="w")
    found = built.add(operator, [data, weights, built.weight(size[axis])], *shape, options=(kind, options))
    if operator != "FULLY_CONNECTED":
        flat = [found, built.constant(1, int(np.prod(shape)))]
        found = built.add(
            "RESHAPE", flat, 1, int(np.prod(shape)), options=("ReshapeOptions", {}), name="scores"
        )
    return bytes(built.content(found))


@pytest.mark.parametrize("activation", ["NONE", "RELU6"])
@pytest.mark.parametrize("operator", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_weights_alone(net: Any, near: Any, operator: str, activation: str) -> None:
    """What the layer takes is quantised while it runs: of all zeros, of one sign, and of both."""
    near(layer(net, operator, activation))
