"""Operators and forms that TVM's importer lacks, gets wrong or cannot build compute what ONNX defines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import InputError, ir

IMAGE = np.random.default_rng(5).uniform(-1, 1, (1, 3, 4, 6)).astype(np.float32)
VALUES = np.random.default_rng(6).uniform(0.5, 2, (3, 4, 6)).astype(np.float32)
Array = NDArray[Any]


def scores(model: Any) -> Array:
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    found: Array = machine["main"](ir.tvm.runtime.tensor(IMAGE)).numpy()
    return found


@pytest.fixture
def equal(load: Any, build: Any) -> Callable[..., None]:
    """Check that nodes, from ``image`` to ``y``, compute these numbers."""

    def check(body: str, expected: Array, opset: int = 17, **weights: Array) -> None:
        text = f"{body} s = Cast <to = 1> (y) scores = Flatten <axis = 0> (s)"
        if opset < 6:
            text = f'{body} s = Cast <to = "FLOAT"> (y) scores = Flatten <axis = 0> (s)'
        model = load(build(text, "float[1,3,4,6] image", "float[1,M] scores", opset, **weights))
        np.testing.assert_allclose(scores(model), np.reshape(expected, (1, -1)), rtol=1e-4, atol=1e-5)

    return check


def softmax(values: Array, axis: int = -1) -> Array:
    powers = np.exp(values - values.max(axis, keepdims=True))
    found: Array = powers / powers.sum(axis, keepdims=True)
    return found


def test_attention(equal: Any) -> None:
    seen = softmax(IMAGE @ VALUES[None].swapaxes(2, 3) / np.sqrt(6)) @ VALUES
    equal("y = Attention (image, k, k)", seen, 23, k=VALUES[None])


def test_attention_to_what_comes_before(equal: Any) -> None:
    products = np.where(np.tri(4, dtype=bool), IMAGE @ VALUES[None].swapaxes(2, 3) * 0.3, -np.inf)
    equal(
        "y = Attention <is_causal = 1, scale = 0.3> (image, k, k)",
        softmax(products) @ VALUES,
        23,
        k=VALUES[None],
    )


@pytest.mark.parametrize("axis", [2, -1])
def test_means_of_layer_normalization(equal: Any, axis: int) -> None:
    axes = tuple(range(axis % 4, 4))
    weights = np.ones(IMAGE.shape[axis % 4 :], np.float32)
    mean, spread = IMAGE.mean(axes, keepdims=True), 1 / np.sqrt(IMAGE.var(axes, keepdims=True) + 1e-5)
    equal(f"n, y, s1 = LayerNormalization <axis = {axis}> (image, one)", mean, one=weights)
    equal(f"n, m, y = LayerNormalization <axis = {axis}> (image, one)", spread, one=weights)


@pytest.mark.parametrize("axis", [0, 1, -4])
def test_rms_normalization(equal: Any, axis: int) -> None:
    axes = tuple(range(axis % 4, 4))
    size = np.sqrt((IMAGE**2).mean(axes, keepdims=True) + 1e-5)
    weights = np.broadcast_to(VALUES, IMAGE.shape)[0] if axis == 1 else VALUES[None]
    equal(f"y = RMSNormalization <axis = {axis}> (image, k)", IMAGE / size * VALUES, 23, k=weights)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Sinh(image)", np.sinh(IMAGE)),
        ("y = Cosh(image)", np.cosh(IMAGE)),
        ("y = Celu <alpha = 0.5> (image)", np.where(IMAGE > 0, IMAGE, 0.5 * (np.exp(IMAGE / 0.5) - 1))),
        ("y = Mish(image)", IMAGE * np.tanh(np.log1p(np.exp(IMAGE)))),
        ("y = Pow(image, two)", IMAGE**2),
        ("n = Cast <to = 7> (image) y = Pow(n, half)", np.trunc(np.sqrt(np.trunc(abs(IMAGE))))),
        ("y = Mod <fmod = 1> (image, third)", np.fmod(IMAGE, np.float32(0.3))),
        ("y = Compress <axis = 3> (image, some)", IMAGE[:, :, :, [0, 2]]),
        ("y = Compress(image, some)", IMAGE.ravel()[[0, 2]]),
        ("y = CenterCropPad <axes = [2, 3]> (image, small)", IMAGE[:, :, :, 2:4]),
    ],
)
def test_an_operator(equal: Any, body: str, expected: Array) -> None:
    numbers = {
        "two": np.array(2),
        "half": np.float32(0.5),
        "third": np.float32(0.3),
        "small": np.array([4, 2]),
        "some": np.array([True, False, True]),
    }
    equal(body, expected, 18, **numbers)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_one_hot(equal: Any, axis: int, dtype: type[np.generic]) -> None:
    """Of indices from the end, and of none: -6, 5 and 9 are no class of five."""
    indices = np.array([0, 4, -1, -5, -6, 5, 9]).astype(dtype)
    hot = np.full((7, 5), 0.25, np.float32)
    hot[[0, 1, 2, 3], [0, 4, 4, 0]] = 3
    body = (
        f"o = OneHot <axis = {axis}> (at, depth, values) f = ReduceSum <keepdims = 0> (image) y = Mul(o, f)"
    )
    numbers = {"at": indices, "depth": np.array(5), "values": np.float32([0.25, 3])}
    equal(body, (hot if axis else hot.T) * IMAGE.sum(), 13, **numbers)


def test_values_of_one_hot_may_be_computed(equal: Any) -> None:
    body = "v = Slice(image, zero, two, three) f = Slice(v, zero, one, flat) p = Reshape(f, two) "
    numbers = {"zero": np.array([0]), "one": np.array([1, 1]), "two": np.array([2]), "three": np.array([3])}
    numbers |= {"zero": np.array([0]), "flat": np.array([1, 2]), "at": np.array([1, 0]), "depth": np.array(2)}
    numbers["zeros"] = np.array([0, 0])
    body = body.replace("Slice(v, zero,", "Slice(v, zeros,") + "y = OneHot(at, depth, p)"
    off, on = IMAGE[0, 0, 0, :2]
    equal(body, np.array([[off, on], [on, off]]), 13, **numbers)


@pytest.mark.parametrize(
    ("opset", "body", "expected"),
    [
        (6, "y = Add <axis = 1, broadcast = 1> (image, c)", IMAGE + VALUES[:, :1, :1]),
        (6, "y = Mul <axis = 1, broadcast = 1> (image, ch)", IMAGE * VALUES[:, :, :1]),
        (6, "y = Sub <broadcast = 1> (image, w4)", IMAGE - VALUES[0, 0]),
        (6, "y = PRelu(image, c)", np.where(IMAGE < 0, IMAGE * VALUES[:, :1, :1], IMAGE)),
        (9, "y = Slice <axes = [1, 3], starts = [1, -2], ends = [9, 9]> (image)", IMAGE[:, 1:, :, -2:]),
        (1, "y = Slice <starts = [0, 2], ends = [1, 3]> (image)", IMAGE[:, 2:3]),
        (1, "y = Reshape <shape = [0, -1]> (image)", IMAGE),
        (1, "y = Concat(image, image)", np.concatenate([IMAGE, IMAGE], 1)),
        (1, 'y = Cast <to = "INT32"> (image)', np.trunc(IMAGE)),
        (2, "y = Pad <pads = [0, 0, 1, 0, 0, 0, 0, 2], value = 1.5> (image)", None),
        (11, "y = Softmax(image)", softmax(IMAGE.reshape(1, -1))),
    ],
)
def test_an_old_form(equal: Any, opset: int, body: str, expected: Array | None) -> None:
    if expected is None:
        expected = np.pad(IMAGE, [(0, 0), (0, 0), (1, 0), (0, 2)], constant_values=1.5)
    equal(body, expected, opset, c=VALUES[:, 0, 0], ch=VALUES[:, :, 0], w4=VALUES[0, 0])


def test_old_averages_count_the_padding(equal: Any) -> None:
    padded = np.pad(IMAGE, [(0, 0), (0, 0), (1, 0), (1, 0)])
    sums = padded[:, :, :-1, :-1] + padded[:, :, 1:, :-1] + padded[:, :, :-1, 1:] + padded[:, :, 1:, 1:]
    equal("y = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 0, 0]> (image)", sums / 4, 1)


def test_a_branch_of_a_constant_condition(equal: Any) -> None:
    then, other = (
        f"g () => (float[1,3,4,6] {y}) {{ {y} = {name}(image) }}" for y, name in (("p", "Relu"), ("q", "Det"))
    )
    branches = f"then_branch = {then}, else_branch = {other}"
    with pytest.raises(InputError, match="does not support: Det"):
        equal(f"y = If (no) <{branches}>", IMAGE, no=np.array(False))
    equal(f"y = If (yes) <{branches.replace('Det', 'Abs')}>", np.maximum(IMAGE, 0), yes=np.array(True))
    equal(f"y = If (no) <{branches.replace('Det', 'Abs')}>", abs(IMAGE), no=np.array(False))


def test_what_no_output_needs_is_left_out(equal: Any) -> None:
    equal(
        "d = Det(image) p, i = MaxPool <kernel_shape = [2, 2]> (image) y = Relu(image)", np.maximum(IMAGE, 0)
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "n = Cast <to = 16> (image) y = Cast <to = 1> (n)",
            "has a Cast (operator set 17, to = 16) to bfloat16, which",
        ),
        ("n = Cast <to = 17> (image) y = Cast <to = 1> (n)", "to float8e4m3fn, which TVM rounds otherwise"),
        ("y = Cast <to = 1> (narrow)", "has weights 'narrow' of int4, which cannot be imported"),
        (
            "b = Reshape(image, boxes) n = Reshape(image, to) y = NonMaxSuppression(b, n)",
            "has a NonMaxSuppression",
        ),
        (
            "n = Reshape(image, flat) y = NonZero(n)",
            "has a NonZero (operator set 17) whose result has no fixed size",
        ),
        ("y = Mod(image, image)", "has a Mod (operator set 17) of floating-point numbers without fmod"),
        (
            "p, y = MaxPool <kernel_shape = [2, 2]> (image)",
            "has a MaxPool (operator set 17, kernel_shape = [2, 2]) that cannot",
        ),
        ('y = SpaceToDepth <blocksize = 2, mode = "CRD"> (image)', "SpaceToDepth"),
        (
            "a, m, v = BatchNormalization <training_mode = 1> (image, c, c, c, c) y = Relu(a)",
            "in training mode",
        ),
    ],
)
def test_what_is_refused_by_name(refused: Any, build: Any, body: str, text: str) -> None:
    weights = {
        "boxes": np.array([1, -1, 4]),
        "to": np.array([1, 1, -1]),
        "flat": np.array([-1]),
        "c": VALUES[:, 0, 0],
    }
    proto = build(
        f"{body} scores = Flatten <axis = 0> (y)", "float[1,3,4,6] image", "float[1,M] scores", 17, **weights
    )
    if "narrow" in body:
        import onnx

        proto.graph.initializer.append(
            onnx.helper.make_tensor("narrow", onnx.TensorProto.INT4, [4], [1, 2, 3, 4])
        )
        proto.opset_import[0].version, proto.ir_version = 21, 10
    if "CRD" in body:
        proto.opset_import[0].version, proto.ir_version = 28, 13
    refused(proto, text)
