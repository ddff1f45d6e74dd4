"""What the operators modelled on real bugs compute, against the same mistakes made in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import GraphMutator, ir
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.bugs.graph import epilogue, numerics, order, padding, weights, windows

Array = NDArray[Any]


def pad(x: Array, top: int, left: int, bottom: int, right: int, *, value: float = 0.0) -> Array:
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def patches(x: Array, size: Sequence[int], strides: Sequence[int], dilation: Sequence[int] = (1, 1)) -> Array:
    """Return ``[n, c, height, width, kernel height, kernel width]``."""
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    rows, columns = (
        range(0, extent - r + 1, s) for extent, r, s in zip(x.shape[2:], reach, strides, strict=True)
    )
    found = np.empty((*x.shape[:2], len(rows), len(columns), *size), x.dtype)
    for (i, top), (j, left) in product(enumerate(rows), enumerate(columns)):
        patch = x[:, :, top : top + reach[0] : dilation[0], left : left + reach[1] : dilation[1]]
        found[:, :, i, j] = patch
    return found


def conv(x: Array, w: Array, strides: Sequence[int] = (1, 1), dilation: Sequence[int] = (1, 1)) -> Array:
    return np.einsum("nchwij,ocij->nohw", patches(x, w.shape[2:], strides, dilation), w)


def depthwise(x: Array, w: Array) -> Array:
    return np.einsum("nchwij,cij->nchw", patches(x, w.shape[2:], (1, 1)), w[:, 0])


def maximum(x: Array, size: Sequence[int], strides: Sequence[int]) -> Array:
    return patches(x, size, strides).max((4, 5))


def average(x: Array, size: Sequence[int], strides: Sequence[int]) -> Array:
    return patches(x, size, strides).mean((4, 5))


def softmax(x: Array, axis: int) -> Array:
    shifted = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis, keepdims=True))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def normalise(x: Array, *parameters: Array, epsilon: float) -> Array:
    g, b, m, v = (each[:, np.newaxis, np.newaxis] for each in parameters)
    return np.asarray((x - m) / np.sqrt(v + epsilon) * g + b)


def padded_average(x: Array) -> Array:
    """Average windows of 3x3 without counting the padding."""
    total = patches(pad(x, 1, 1, 1, 1), (3, 3), (1, 1)).sum((4, 5))
    count = patches(pad(np.ones_like(x), 1, 1, 1, 1), (3, 3), (1, 1)).sum((4, 5))
    return np.asarray(total / count)


@attrs.frozen
class Case:
    """A graph, what it computes, and what it computes after the mistake."""

    operator: type[GraphMutator]
    lines: str
    shapes: dict[str, tuple[int, ...]]
    right: Callable[..., Array]
    wrong: Callable[..., Array]


IMAGE = {"x": (1, 4, 9, 9)}
CONV = IMAGE | {"w": (6, 4, 3, 3)}
DEPTHWISE = IMAGE | {"w": (4, 1, 3, 3)}
BIAS = IMAGE | {"b": (1, 4, 1, 1)}
TWO = {"a": (1, 4), "b": (1, 4)}
ROW = {"x": (2, 8)}
BATCH_NORM = IMAGE | dict.fromkeys("gbmv", (4,))
LAYER = "n = R.nn.batch_norm(x, g, b, m, v, axis=1, epsilon=0.5)\ny = n[0]"

CASES = [
    Case(
        windows.SwapStrides,
        "y = R.nn.conv2d(x, w, strides=[2, 1], padding=[1, 1, 1, 1])",
        CONV,
        lambda x, w: conv(pad(x, 1, 1, 1, 1), w, (2, 1)),
        lambda x, w: conv(pad(x, 1, 1, 1, 9), w, (1, 2))[:, :, :5],
    ),
    Case(
        windows.SwapStrideDilation,
        "y = R.nn.conv2d(x, w, strides=[2, 2], padding=[1, 1, 1, 1])",
        CONV,
        lambda x, w: conv(pad(x, 1, 1, 1, 1), w, (2, 2)),
        lambda x, w: conv(pad(x, 1, 1, 1, 1), w, (1, 1), (2, 2))[:, :, :5, :5],
    ),
    Case(
        windows.IgnoreStride,
        "y = R.nn.max_pool2d(x, pool_size=[2, 2], strides=[2, 2])",
        IMAGE,
        lambda x: maximum(x, (2, 2), (2, 2)),
        lambda x: maximum(x, (2, 2), (1, 1))[:, :, :4, :4],
    ),
    Case(
        windows.IgnoreDilation,
        "y = R.nn.conv2d(x, w, dilation=[2, 1])",
        CONV,
        lambda x, w: conv(x, w, (1, 1), (2, 1)),
        lambda x, w: conv(x, w)[:, :, :5],
    ),
    Case(
        padding.SwapPaddingSides,
        "y = R.nn.conv2d(x, w, strides=[2, 2], padding=[0, 0, 1, 1])",
        CONV,
        lambda x, w: conv(pad(x, 0, 0, 1, 1), w, (2, 2)),
        lambda x, w: conv(pad(x, 1, 1, 0, 0), w, (2, 2)),
    ),
    Case(
        padding.PadAtStart,
        "y = R.nn.conv2d(x, w, padding=[1, 1, 1, 1])",
        CONV,
        lambda x, w: conv(pad(x, 1, 1, 1, 1), w),
        lambda x, w: conv(pad(x, 2, 2, 2, 2), w)[:, :, :9, :9],
    ),
    Case(
        padding.PoolFloorForCeil,
        "y = R.nn.max_pool2d(x, pool_size=[2, 2], strides=[2, 2], ceil_mode=True)",
        IMAGE,
        lambda x: maximum(pad(x, 0, 0, 1, 1, value=-np.inf), (2, 2), (2, 2)),
        lambda x: pad(maximum(x, (2, 2), (2, 2)), 0, 0, 1, 1),
    ),
    Case(
        padding.FlipCountIncludePad,
        "y = R.nn.avg_pool2d(x, pool_size=[3, 3], padding=[1, 1, 1, 1])",
        IMAGE,
        padded_average,
        lambda x: average(pad(x, 1, 1, 1, 1), (3, 3), (1, 1)),
    ),
    Case(
        padding.MaxPoolPadZero,
        "n = R.negative(x)\ny = R.nn.max_pool2d(n, pool_size=[3, 3], strides=[2, 2], padding=[1, 1, 1, 1])",
        IMAGE,
        lambda x: maximum(pad(-x, 1, 1, 1, 1, value=-np.inf), (3, 3), (2, 2)),
        lambda x: maximum(pad(-x, 1, 1, 1, 1), (3, 3), (2, 2)),
    ),
    Case(
        weights.SwapWeightLayout,
        "y = R.nn.conv2d(x, w)",
        CONV,
        conv,
        lambda x, w: conv(x, w.reshape(4, 6, 3, 3).swapaxes(0, 1)),
    ),
    Case(
        weights.RotateKernel, "y = R.nn.conv2d(x, w)", CONV, conv, lambda x, w: conv(x, w[:, :, ::-1, ::-1])
    ),
    Case(
        weights.IgnoreGroups,
        "y = R.nn.conv2d(x, w, groups=4)",
        DEPTHWISE,
        depthwise,
        lambda x, w: conv(x[:, :1], w),
    ),
    Case(
        weights.RoundWeights,
        "y = R.matmul(x, w)",
        {"x": (1, 8), "w": (8, 4)},
        lambda x, w: x @ w,
        lambda x, w: x @ w.astype(np.float16).astype(np.float32),
    ),
    Case(epilogue.DropBias, "y = R.add(x, b)", BIAS, lambda x, b: x + b, lambda x, b: x),
    Case(
        epilogue.BiasFirstChannel,
        "y = R.add(b, x)",
        BIAS,
        lambda x, b: x + b,
        lambda x, b: np.concatenate([x[:, :1] + b[:, :1], x[:, 1:]], 1),
    ),
    Case(epilogue.OverwrittenOperand, "y = R.multiply(a, b)", TWO, lambda a, b: a * b, lambda a, b: a * a),
    Case(
        epilogue.ActivationBeforeAdd,
        "s = R.add(a, b)\ny = R.nn.relu(s)",
        TWO,
        lambda a, b: relu(a + b),
        lambda a, b: relu(a) + b,
    ),
    Case(
        epilogue.DropClipMax,
        "y = R.clip(x, 0, 0.25)",
        ROW,
        lambda x: np.clip(x, 0, 0.25),
        relu,
    ),
    Case(
        epilogue.DropClipMin,
        "y = R.clip(x, 0, 0.25)",
        ROW,
        lambda x: np.clip(x, 0, 0.25),
        lambda x: np.minimum(x, 0.25),
    ),
    Case(order.SoftmaxAxis, "y = R.nn.softmax(x)", ROW, lambda x: softmax(x, 1), lambda x: softmax(x, 0)),
    Case(
        order.SwapConcatOperands,
        "y = R.concat((a, b), axis=1)",
        TWO,
        lambda a, b: np.concatenate([a, b], 1),
        lambda a, b: np.concatenate([b, a], 1),
    ),
    Case(
        order.TransposeAsReshape,
        "y = R.permute_dims(x, [0, 2, 3, 1])",
        IMAGE,
        lambda x: x.transpose(0, 2, 3, 1),
        lambda x: x.reshape(1, 9, 9, 4),
    ),
    Case(
        order.FlattenChannelsLast,
        "y = R.reshape(x, (1, 324))",
        IMAGE,
        lambda x: x.reshape(1, 324),
        lambda x: x.transpose(0, 2, 3, 1).reshape(1, 324),
    ),
    Case(
        numerics.FastExp,
        "y = R.exp(x)",
        ROW,
        np.exp,
        lambda x: (1 + x / 16) ** 16,
    ),
    Case(
        numerics.FastSigmoid,
        "y = R.sigmoid(x)",
        ROW,
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: np.clip(x / 4 + 0.5, 0, 1),
    ),
    Case(numerics.FastTanh, "y = R.tanh(x)", ROW, np.tanh, lambda x: np.clip(x, -1, 1)),
    Case(
        numerics.AverageToSum,
        "y = R.nn.avg_pool2d(x, pool_size=[3, 3], padding=[1, 1, 1, 1])",
        IMAGE,
        padded_average,
        lambda x: patches(pad(x, 1, 1, 1, 1), (3, 3), (1, 1)).sum((4, 5)),
    ),
    Case(
        numerics.BatchNormWithoutEpsilon,
        LAYER,
        BATCH_NORM,
        lambda *arrays: normalise(*arrays, epsilon=0.5),
        lambda *arrays: normalise(*arrays, epsilon=0.0),
    ),
    Case(
        numerics.BatchNormOfImage,
        LAYER,
        BATCH_NORM,
        lambda *arrays: normalise(*arrays, epsilon=0.5),
        lambda x, g, b, m, v: normalise(x, g, b, x.mean((0, 2, 3)), x.var((0, 2, 3)), epsilon=0.5),
    ),
]


def run(module: Any, arrays: Sequence[Array]) -> Array:
    decomposed = ir.relax.transform.DecomposeOpsForInference()(module)
    machine = ir.relax.VirtualMachine(ir.tvm.compile(decomposed, target="llvm"), ir.tvm.cpu())
    result: Array = machine["main"](*map(ir.tvm.runtime.tensor, arrays)).numpy()
    return result


def draw(shapes: dict[str, tuple[int, ...]]) -> list[Array]:
    random = np.random.default_rng(3)
    drawn = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return [np.abs(array) if name == "v" else array for name, array in drawn.items()]  # a variance


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.operator.name)
def test_mistake_is_the_one_that_was_meant(case: Case) -> None:
    module, arrays = ir.script.from_source(graph(case.lines, **case.shapes)), draw(case.shapes)
    right, wrong = run(module, arrays), run(case.operator().apply(module, [0]), arrays)
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(right, case.right(*arrays), **close)
    np.testing.assert_allclose(wrong, case.wrong(*arrays), **close)
    assert not np.array_equal(right, wrong)


def test_softmax_without_max_differs_where_it_overflows() -> None:
    module = ir.script.from_source(graph("y = R.nn.softmax(x)", x=(2, 3)))
    scores = np.asarray([[1, 2, 3], [1, 2, 100]], np.float32)
    right, wrong = (run(each, [scores]) for each in (module, numerics.SoftmaxWithoutMax().apply(module, [0])))
    np.testing.assert_allclose(right, softmax(scores, 1), rtol=1e-5)
    np.testing.assert_allclose(wrong[0], right[0], rtol=1e-5)
    assert np.isnan(wrong[1, 2])


def test_fast_exp_in_softmax_keeps_probabilities_and_their_order() -> None:
    module = ir.script.from_source(graph("y = R.nn.softmax(x, axis=1)", x=(1, 8)))
    scores = np.asarray([[-40, -3, 0.5, 1, 4, 90, 93, 95]], np.float32)
    wrong = run(numerics.FastExp().apply(module, [0]), [scores])
    power = np.maximum(1 + (scores - 95) / 16, 0) ** 16
    np.testing.assert_allclose(wrong, power / power.sum(), rtol=1e-4)
    assert abs(wrong - softmax(scores, 1)).max() > 0.01
    assert np.argmax(wrong) == 7


def test_rounded_weights_may_overflow() -> None:
    module = ir.script.from_source(graph('y = R.matmul(x, R.const([[1e6], [1.0]], "float32"))', x=(1, 2)))
    assert run(weights.RoundWeights().apply(module, [0]), [np.ones((1, 2), np.float32)]) == np.inf
