"""Computes too coarsely, overflows, or takes the wrong statistics."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from mutatenn import Example, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import is_float, static_shape, with_argument
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.bugs.graph._base import BugMutator, integers, with_attributes

SOFTMAX = "relax.nn.softmax"
_SCORES = {"x": (1, 8)}
_BATCH_NORM: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8)} | dict.fromkeys("gbmv", (4,))
_DOUBLINGS = 4
_MEAN, _VARIANCE = 3, 4


class FloatMutator(BugMutator):
    """Replaces a function of floats."""

    def matches(self, call: Any) -> bool:
        """Accept floats."""
        return is_float(call.args[0])


def _number(value: float, like: Any) -> Any:
    return ir.relax.const(value, str(like.ty.dtype))


class SoftmaxWithoutMax(FloatMutator):
    """Compute softmax without subtracting the maximum first: scores above 88 overflow."""

    name = "softmax-without-max"
    origin = "uTensor/uTensor#175: exp() call in SoftmaxOp leads to overflow (fix-softmax branch)"
    ops = (SOFTMAX,)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the quotient of the exponentials and their sum."""
        return _normalised(builder.emit(ir.relax.op.exp(call.args[0])), call, builder)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show scores."""
        after = """
            e = R.exp(x)
            s = R.sum(e, axis=[1], keepdims=True)
            y = R.divide(e, s)
        """
        return [Example(graph("y = R.nn.softmax(x, axis=1)", **_SCORES), graph(after, **_SCORES))]


def _normalised(exponentials: Any, call: Any, builder: Any) -> Any:
    total = builder.emit(ir.relax.op.sum(exponentials, [int(call.attrs.axis)], keepdims=True))
    return ir.relax.op.divide(exponentials, total)


class FastExp(FloatMutator):
    """Approximate the exponential, also that in softmax, by (1 + x/16) to the 16th power."""

    name = "fast-exp"
    origin = (
        "apache/tvm#19546: [CUDA][TIR] Standard math intrinsics should not lower to fast-math `__*f` by "
        "default"
    )
    ops = ("relax.exp", SOFTMAX)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the approximation, which is 0 below -16."""
        if call.op.name != SOFTMAX:
            return _power(call.args[0], builder)
        largest = builder.emit(ir.relax.op.max(call.args[0], [int(call.attrs.axis)], keepdims=True))
        shifted = builder.emit(ir.relax.op.subtract(call.args[0], largest))
        return _normalised(builder.emit(_power(shifted, builder)), call, builder)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the exponential by itself and that in softmax."""
        power = """
            a = R.multiply({}, R.const(0.0625, "float32"))
            b = R.add(a, R.const(1.0, "float32"))
            c = R.maximum(b, R.const(0.0, "float32"))
            d = R.square(c)
            e = R.square(d)
            f = R.square(e)
            {} = R.square(f)
        """
        softmax = [
            "m = R.max(x, axis=[1], keepdims=True)",
            "h = R.subtract(x, m)",
            *(line.strip() for line in power.format("h", "p").strip().splitlines()),
            "s = R.sum(p, axis=[1], keepdims=True)",
            "y = R.divide(p, s)",
        ]
        return [
            Example(graph("y = R.exp(x)", **_SCORES), graph(power.format("x", "y"), **_SCORES)),
            Example(graph("y = R.nn.softmax(x, axis=1)", **_SCORES), graph("\n".join(softmax), **_SCORES)),
        ]


def _power(value: Any, builder: Any) -> Any:
    operators = ir.relax.op
    scaled = builder.emit(operators.multiply(value, _number(0.5**_DOUBLINGS, value)))
    raised = builder.emit(operators.add(scaled, _number(1.0, value)))
    power = operators.maximum(raised, _number(0.0, value))
    for _ in range(_DOUBLINGS):
        power = operators.square(builder.emit(power))
    return power


class FastSigmoid(FloatMutator):
    """Approximate the logistic sigmoid by a line between its bounds."""

    name = "fast-sigmoid"
    origin = (
        "tenstorrent/tt-metal#53258: FAST_APPROXIMATE sigmoid LUT peaks at ~0.12 abs error near the |x|=2 "
        "knee (twin of the gelu-appx work in #52407)"
    )
    ops = ("relax.sigmoid",)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return x/4 + 1/2, between 0 and 1."""
        value = call.args[0]
        scaled = builder.emit(ir.relax.op.multiply(value, _number(0.25, value)))
        return ir.relax.op.clip(builder.emit(ir.relax.op.add(scaled, _number(0.5, value))), 0, 1)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the function."""
        after = """
            a = R.multiply(x, R.const(0.25, "float32"))
            b = R.add(a, R.const(0.5, "float32"))
            y = R.clip(b, 0, 1)
        """
        return [Example(graph("y = R.sigmoid(x)", **_SCORES), graph(after, **_SCORES))]


class FastTanh(FloatMutator):
    """Approximate the hyperbolic tangent by a line between its bounds."""

    name = "fast-tanh"
    origin = "tenstorrent/tt-metal#15132: Improve PCC for ttnn.tanh for range (-3.5 to 3.5)"
    ops = ("relax.tanh",)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return x, between -1 and 1."""
        del builder
        return ir.relax.op.clip(call.args[0], -1, 1)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the function."""
        return [Example(graph("y = R.tanh(x)", **_SCORES), graph("y = R.clip(x, -1, 1)", **_SCORES))]


class AverageToSum(FloatMutator):
    """Divide by 1 where an average divides by the number of its elements."""

    name = "average-to-sum"
    origin = (
        "apache/tvm#14795: [Bug] [Torch] tvm produced a wrong inference result when using `divisor_override` "
        "in AvgPool2d"
    )
    ops = ("relax.mean", "relax.nn.avg_pool2d")
    needs = "average of several elements"

    def matches(self, call: Any) -> bool:
        """Accept averages of several elements."""
        return super().matches(call) and _count(call) > 1

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the sum, of pooling as a multiple of the average with padding counted."""
        if call.op.name == "relax.mean":
            return ir.relax.op.sum(call.args[0], _reduced(call), bool(call.attrs.keepdims))
        pooled = builder.emit(with_attributes(call, count_include_pad=True))
        return ir.relax.op.multiply(pooled, _number(_count(call), pooled))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show global pooling and a window."""
        after = """
            p = R.nn.avg_pool2d(x, pool_size=[2, 2], count_include_pad=True)
            y = R.multiply(p, R.const(4.0, "float32"))
        """
        mean = "y = R.mean(x, axis=[2, 3], keepdims=True)"
        pool = "y = R.nn.avg_pool2d(x, pool_size=[2, 2])"
        image = {"x": (1, 2, 4, 4)}
        return [
            Example(graph(mean, **image), graph(mean.replace("mean", "sum"), **image)),
            Example(graph(pool, **image), graph(after, **image)),
        ]


def _reduced(call: Any) -> list[int]:
    rank = len(static_shape(call.args[0]))
    axes = call.attrs.axis
    return list(range(rank)) if axes is None else [axis % rank for axis in integers(axes)]


def _count(call: Any) -> int:
    """Return how many elements are averaged, or 0 where that is not known."""
    if call.op.name != "relax.mean":
        return prod(integers(call.attrs.pool_size))
    shape = static_shape(call.args[0])
    return prod(shape[axis] for axis in _reduced(call)) if shape else 0


class BatchNormWithoutEpsilon(BugMutator):
    """Do not add epsilon to the variance of a batch normalisation."""

    name = "batch-norm-without-epsilon"
    origin = "Tencent/ncnn#311: Add the epsilon parameter to the BatchNorm layer. (fix #303)"
    ops = ("relax.nn.batch_norm",)
    needs = "epsilon that counts"

    def matches(self, call: Any) -> bool:
        """Accept layers with an epsilon, unless the variance is known and too large for it to count."""
        variance, epsilon = call.args[_VARIANCE], call.attrs.epsilon
        if not isinstance(variance, ir.tvm.ir.GenericConst):
            return bool(epsilon)
        values = variance.value.numpy()
        return not np.array_equal(values, values + np.asarray(epsilon, values.dtype))

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the layer with an epsilon of 0."""
        del builder
        given = call.attrs
        return ir.relax.op.nn.batch_norm(
            *call.args,
            axis=int(given.axis),
            epsilon=0.0,
            center=bool(given.center),
            scale=bool(given.scale),
            momentum=float(given.momentum),
            training=bool(given.training),
        )

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one layer."""
        layer = "n = R.nn.batch_norm(x, g, b, m, v, axis=1, epsilon={})\ny = n[0]"
        return [
            Example(graph(layer.format("1e-3"), **_BATCH_NORM), graph(layer.format("0.0"), **_BATCH_NORM))
        ]


class BatchNormOfImage(BugMutator):
    """Normalise by the statistics of the image itself, as in training, not by those that were learnt."""

    name = "batch-norm-of-image"
    origin = (
        "apache/tvm#19574: [Bug] LegalizeOps batch_norm uses training-mode computation, ignoring provided "
        "running stats"
    )
    ops = ("relax.nn.batch_norm",)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the layer with mean and variance of what it reads."""
        data = call.args[0]
        rank = len(data.ty.shape)
        axes = [axis for axis in range(rank) if axis != int(call.attrs.axis) % rank]
        mean = builder.emit(ir.relax.op.mean(data, axes))
        variance = builder.emit(ir.relax.op.variance(data, axes))
        return with_argument(with_argument(call, _MEAN, mean), _VARIANCE, variance)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one layer."""
        after = """
            p = R.mean(x, axis=[0, 2, 3], keepdims=False)
            q = R.variance(x, axis=[0, 2, 3], keepdims=False)
            n = R.nn.batch_norm(x, g, b, p, q, axis=1)
            y = n[0]
        """
        before = "n = R.nn.batch_norm(x, g, b, m, v, axis=1)\ny = n[0]"
        return [Example(graph(before, **_BATCH_NORM), graph(after, **_BATCH_NORM))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per mistake."""
    return [
        SoftmaxWithoutMax,
        FastExp,
        FastSigmoid,
        FastTanh,
        AverageToSum,
        BatchNormWithoutEpsilon,
        BatchNormOfImage,
    ]
