"""One function per kind of operator: adds a node or a few to a network, on a value that is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import onnx.helper

from random_nets.net import Net, Value, need

Draw = Callable[[Net, Value], Value]
DRAWS: dict[str, tuple[Draw, float]] = {}
"""Every kind of operator by name, and how often it is drawn."""


def drawn(weight: float = 1.0) -> Callable[[Draw], Draw]:
    def register(draw: Draw) -> Draw:
        DRAWS[draw.__name__] = draw, weight
        return draw

    return register


def windows(net: Net, x: Value, *, dilated: bool = True) -> dict[str, Any]:
    """Draw kernel, strides, dilations and uneven padding that fit a value's height and width."""
    kernel = [net.pick([1, 1, 2, 3, 3, 5]) for _ in range(2)]
    attributes: dict[str, Any] = {"kernel_shape": kernel}
    if net.chance(0.5):
        attributes["strides"] = [net.pick([1, 2, 2, 3]) for _ in range(2)]
    if dilated and net.chance(0.3):
        attributes["dilations"] = [net.whole(1, 2) for _ in range(2)]
    if net.chance(0.6):
        attributes["pads"] = [net.whole(0, min(2, kernel[axis % 2] - 1)) for axis in range(4)]
    return attributes


def need_room(x: Value, attributes: dict[str, Any]) -> None:
    """Refuse a window larger than the padded image, of which onnxruntime makes one result all the same."""
    pads, dilations = attributes.get("pads", [0] * 4), attributes.get("dilations", [1, 1])
    for axis, size in enumerate(attributes["kernel_shape"]):
        need((size - 1) * dilations[axis] < x.shape[2 + axis] + pads[axis] + pads[2 + axis])


@drawn(8)
def convolution(net: Net, x: Value) -> Value:
    need(x.rank == 4)
    channels = x.shape[1]
    groups = net.pick([1, 1, channels, net.pick([g for g in range(1, channels + 1) if channels % g == 0])])
    inner, outer = channels // groups, groups * net.whole(1, max(1, 6 // groups))
    attributes = windows(net, x)
    if net.chance(0.3):
        attributes["pads"] = [net.whole(0, 2) for _ in range(4)]
    need_room(x, attributes)
    kernel = attributes["kernel_shape"]
    scale = 1.2 / math.sqrt(inner * math.prod(kernel))
    weights = [net.weights(outer, inner, *kernel, scale=scale)]
    if net.chance(0.6):
        weights.append(net.weights(outer, scale=0.3))
    return net.add("Conv", x, *weights, group=groups, **attributes)


@drawn(3)
def normalised_convolution(net: Net, x: Value) -> Value:
    """A convolution that scale and shift can be folded into, unless another node reads it as well."""
    return batch_normalisation(net, convolution(net, x))


@drawn(2)
def gemm(net: Net, x: Value) -> Value:
    need(x.rank == 2)
    inner, outer = x.shape[1], net.whole(1, 9)
    across = net.chance(0.5)
    shape = (outer, inner) if across else (inner, outer)
    inputs = [net.weights(*shape, scale=1 / math.sqrt(inner))]
    if net.chance(0.6):
        inputs.append(net.weights(*net.pick([(outer,), (1, outer), (1,), (x.shape[0], outer)])))
    attributes = {"alpha": 0.75, "beta": 1.5} if net.chance(0.3) else {}
    return net.add("Gemm", x, *inputs, transB=int(across), **attributes)


@drawn(2)
def product(net: Net, x: Value) -> Value:
    """A matrix product with weights, of two or more dimensions, or with another value, maybe itself."""
    need(x.rank >= 2)
    inner, outer = x.shape[-1], net.whole(1, 7)
    if net.chance(0.3) and x.rank <= 4:
        axes = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
        other = net.add("Transpose", x, perm=axes)
        scaled = net.add("Mul", x, net.constant(1 / math.sqrt(inner)))
        return net.add("MatMul", scaled, other)
    partners = [v for v in net.values if v.rank == x.rank and v.shape[:-1] == (*x.shape[:-2], inner)]
    if partners and net.chance(0.4):
        return net.add("MatMul", x, net.pick(partners))
    batch = x.shape[-3:-2] if x.rank > 2 and net.chance(0.4) else ()
    return net.add("MatMul", x, net.weights(*batch, inner, outer, scale=1.2 / math.sqrt(inner)))


@drawn(1)
def parallel_products(net: Net, x: Value) -> Value:
    """Two matrix products of one value, joined."""
    need(x.rank in (2, 3))
    widths = [net.whole(1, 4) for _ in range(2)]
    inner = x.shape[-1]
    made = [net.add("MatMul", x, net.weights(inner, width, scale=inner**-0.5)) for width in widths]
    return net.add("Concat", *made, axis=x.rank - 1)


@drawn(1)
def product_over_one(net: Net, x: Value) -> Value:
    """A matrix product that sums over one element."""
    need(x.size <= 64)
    column = net.add("Reshape", x, net.constant([-1, 1], np.int64))
    return net.add("MatMul", column, net.weights(1, net.whole(1, 5)))


def partner(net: Net, x: Value) -> Value | str:
    """Draw the other operand: the same value, another that broadcasts with it, or a constant."""
    if net.chance(0.25):
        return x
    others = [v for v in net.values if v is not x and fits(v.shape, x.shape)]
    if others and net.chance(0.6):
        return net.pick(others)
    return net.weights(*part(net, x.shape))


def part(net: Net, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Draw a shape that broadcasts to a value's."""
    whole = tuple(size if net.chance(0.5) else 1 for size in shape)
    return net.pick([(), (1,), shape[-1:], whole, whole[1:], shape])


def fits(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    try:
        return math.prod(np.broadcast_shapes(one, other)) <= 1000
    except ValueError:
        return False


@drawn(5)
def arithmetic(net: Net, x: Value) -> Value:
    operands = [x, partner(net, x)]
    if net.chance(0.3):
        operands.reverse()
    return net.add(net.pick(["Add", "Add", "Sub", "Mul", "Mul"]), *operands)


@drawn(1.5)
def square_and_product(net: Net, x: Value) -> Value:
    """The same operand twice, then two of the same types."""
    operator = net.pick(["Mul", "Mul", "Add", "Sub"])
    twice = net.add(operator, x, x)
    others = [v for v in net.values if v.shape == x.shape and v is not twice]
    operands = [twice, net.pick([*others, net.weights(*x.shape)])]
    if net.chance(0.5):
        operands.reverse()
    return net.add(operator, *operands)


@drawn(1)
def division(net: Net, x: Value) -> Value:
    """By a constant that is not small, or by a value that is never small, maybe itself."""
    positive = [v for v in net.values if v.floor > 0.1 and fits(v.shape, x.shape)]
    if positive and net.chance(0.7):
        return net.add("Div", x, net.pick(positive))
    shape = part(net, x.shape)
    return net.add("Div", x, net.constant(net.rng.choice([-1, 1], shape) * net.rng.uniform(0.5, 3, shape)))


@drawn(1.5)
def extremum(net: Net, x: Value) -> Value:
    operands = [x, partner(net, x)]
    if net.chance(0.3):
        operands.append(partner(net, x))
    return net.add(net.pick(["Max", "Min"]), *operands)


@drawn(1.5)
def total(net: Net, x: Value) -> Value:
    operands = [x, partner(net, x), partner(net, x)][: net.whole(1, 3)]
    return net.add(net.pick(["Sum", "Sum", "Mean"]), *operands)


@drawn(6)
def activation(net: Net, x: Value) -> Value:
    plain = ["Relu", "Relu", "Sigmoid", "Tanh", "Erf", "Abs", "Neg", "HardSwish", "Softplus"]
    operator = net.pick([*plain, "LeakyRelu", "HardSigmoid", "Elu"])
    attributes = {"alpha": 0.3} if operator in ("LeakyRelu", "HardSigmoid", "Elu") else {}
    return net.add(operator, x, **attributes)


@drawn(1)
def clip(net: Net, x: Value) -> Value:
    low, high = sorted(net.rng.uniform(-1, 1, 2))
    bounds = net.pick([(low, high), (low, None), (None, high)])
    return net.add("Clip", x, *["" if bound is None else net.constant(bound) for bound in bounds])


@drawn(1)
def exponential(net: Net, x: Value) -> Value:
    bounds = [net.constant(-1), net.constant(1.5)]
    return net.add("Exp", net.add("Tanh", x) if net.chance(0.5) else net.add("Clip", x, *bounds), floor=0.3)


@drawn(1)
def root(net: Net, x: Value) -> Value:
    size = net.add("Abs", x) if net.chance(0.5) else net.add("Mul", x, x)
    return net.add("Sqrt", net.add("Add", size, net.constant(0.25), floor=0.25), floor=0.5)


@drawn(0.7)
def slope(net: Net, x: Value) -> Value:
    need(x.rank == 4)
    return net.add("PRelu", x, net.weights(*net.pick([(1,), (x.shape[1], 1, 1)])))


@drawn(1.5)
def batch_normalisation(net: Net, x: Value) -> Value:
    need(x.rank >= 2)
    channels = x.shape[1]
    scale, shift, mean = (net.weights(channels) for _ in range(3))
    variance = net.constant(net.rng.uniform(0.3, 2, channels))
    return net.add("BatchNormalization", x, scale, shift, mean, variance, epsilon=net.pick([1e-5, 1e-3]))


@drawn(4)
def pooling(net: Net, x: Value) -> Value:
    need(x.rank == 4)
    largest = net.chance(0.6)
    attributes = windows(net, x, dilated=largest)
    need_room(x, attributes)
    if largest:
        return net.add("MaxPool", x, **attributes)
    return net.add("AveragePool", x, count_include_pad=net.whole(0, 1), **attributes)


@drawn(1.5)
def global_pooling(net: Net, x: Value) -> Value:
    need(x.rank == 4)
    return net.add(net.pick(["GlobalAveragePool", "GlobalMaxPool"]), x)


@drawn(4)
def reduction(net: Net, x: Value) -> Value:
    """Over some axes, those of size 1 by preference."""
    need(x.rank >= 2)
    ones = [axis for axis in range(x.rank) if x.shape[axis] == 1]
    if ones and net.chance(0.5):
        axes = net.rng.permutation(ones)[: net.whole(1, len(ones))]
    else:
        axes = net.rng.permutation(x.rank)[: net.whole(1, x.rank - 1)]
    axes = [int(axis) - (x.rank if net.chance(0.3) else 0) for axis in axes]
    keep = int(x.rank <= 2 or len(axes) >= x.rank - 1 or net.chance(0.7))
    operator = net.pick(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
    if operator == "ReduceSum":
        return net.add(operator, x, net.constant(axes, np.int64), keepdims=keep)
    return net.add(operator, x, axes=axes, keepdims=keep)


@drawn(1.5)
def concatenation(net: Net, x: Value) -> Value:
    axis = net.whole(0, x.rank - 1) if net.chance(0.3) else min(1, x.rank - 1)

    def around(v: Value) -> tuple[int, ...]:
        return v.shape[:axis] + v.shape[axis + 1 :]

    others = [v for v in net.values if v.rank == x.rank and around(v) == around(x)]
    parts = [x, net.pick(others), *([net.pick([x, *others])] if net.chance(0.3) else [])]
    if net.chance(0.3):
        parts.append(net.weights(*x.shape))
    order = net.rng.permutation(len(parts))
    return net.add("Concat", *[parts[n] for n in order], axis=axis)


@drawn(1)
def transposition(net: Net, x: Value) -> Value:
    need(x.rank >= 2)
    return net.add("Transpose", x, perm=[int(axis) for axis in net.rng.permutation(x.rank)])


@drawn(1)
def reshape(net: Net, x: Value) -> Value:
    """To other sizes of two to four dimensions, one of them maybe left open."""
    factors = [n for n in range(1, x.size + 1) if x.size % n == 0]
    first = net.pick(factors)
    second = net.pick([n for n in factors if (x.size // first) % n == 0])
    sizes = [first, second, x.size // first // second]
    if net.chance(0.5):
        sizes.insert(0, 1)
    if net.chance(0.5):
        sizes[net.whole(0, len(sizes) - 1)] = -1
    return net.add("Reshape", x, net.constant(sizes, np.int64))


@drawn(1)
def flatten(net: Net, x: Value) -> Value:
    return net.add("Flatten", x, axis=net.whole(0, min(x.rank, 2)))


@drawn(1)
def axes_of_one(net: Net, x: Value) -> Value:
    """An axis of size 1 taken away or put in."""
    ones = [axis for axis in range(x.rank) if x.shape[axis] == 1]
    if ones and x.rank > 2 and net.chance(0.6):
        return net.add("Squeeze", x, net.constant([net.pick(ones)], np.int64))
    need(x.rank < 5)
    return net.add("Unsqueeze", x, net.constant([net.whole(0, x.rank)], np.int64))


@drawn(1.5)
def slicing(net: Net, x: Value) -> Value:
    """Of one or two axes, forwards or backwards, by steps of one or more."""
    axes = [int(axis) for axis in net.rng.permutation(x.rank)[: net.whole(1, 2)]]
    starts, ends, steps = [], [], []
    for axis in axes:
        size, step = x.shape[axis], net.pick([1, 1, 1, 2, 3, -1, -2])
        low, high = sorted([net.whole(0, size - 1), net.whole(0, size)])
        high = max(high, low + 1)
        starts.append(low if step > 0 else high - 1)
        ends.append((high if net.chance(0.8) else 2**31 - 1) if step > 0 else low - 1 - size * (low == 0))
        steps.append(step)
    return net.add("Slice", x, *(net.constant(each, np.int64) for each in (starts, ends, axes, steps)))


@drawn(1.5)
def padding(net: Net, x: Value) -> Value:
    mode = net.pick(["constant", "constant", "edge", "reflect"])
    sides = [axis % x.rank for axis in range(2 * x.rank)]
    widths = [net.whole(0, 2) if side >= x.rank - 2 or net.chance(0.2) else 0 for side in sides]
    if mode == "reflect":
        need(all(width < x.shape[side] for side, width in zip(sides, widths, strict=True)))
    inputs = [net.constant(widths, np.int64)]
    if mode == "constant" and net.chance(0.5):
        inputs.append(net.constant(net.rng.normal()))
    return net.add("Pad", x, *inputs, mode=mode)


@drawn(1)
def softmax(net: Net, x: Value) -> Value:
    return net.add(net.pick(["Softmax", "Softmax", "LogSoftmax"]), x, axis=net.whole(-1, x.rank - 1))


@drawn(1.5)
def residual(net: Net, x: Value) -> Value:
    """Something of the same shape, added to what it is made of."""
    inside = net.pick([activation, batch_normalisation, square_and_product, extremum, softmax])(net, x)
    need(inside.shape == x.shape)
    return net.add("Add", *([x, inside] if net.chance(0.5) else [inside, x]))


@drawn(1)
def common_subexpression(net: Net, x: Value) -> Value:
    """The same computed twice, and joined."""
    one, other = (activation(net, x) for _ in range(2))
    if net.chance(0.7):  # to the letter
        net.nodes[-1].CopyFrom(onnx.helper.make_node(net.nodes[-2].op_type, [x.name], [other.name]))
        net.nodes[-1].attribute.extend(net.nodes[-2].attribute)
        other = attrs.evolve(other, probes=one.probes)
        net.values[-1] = other
    return net.add(net.pick(["Add", "Mul", "Sub", "Max"]), one, other)


@drawn(1)
def gelu(net: Net, x: Value) -> Value:
    """x * (1 + erf(x / sqrt 2)) / 2, as it is exported."""
    inner = net.add("Erf", net.add("Div", x, net.constant(math.sqrt(2))))
    return net.add("Mul", x, net.add("Mul", net.add("Add", inner, net.constant(1)), net.constant(0.5)))


@drawn(0.7)
def layer_normalisation(net: Net, x: Value) -> Value:
    """As older exporters write it: mean, square, mean, root, quotient."""
    axis = x.rank - 1
    need(x.shape[axis] > 1)
    centred = net.add("Sub", x, net.add("ReduceMean", x, axes=[axis]))
    variance = net.add("ReduceMean", net.add("Mul", centred, centred), axes=[axis])
    spread = net.add("Sqrt", net.add("Add", variance, net.constant(0.3), floor=0.3), floor=0.5)
    return net.add("Div", centred, spread)
