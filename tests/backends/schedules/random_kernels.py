"""Small random graphs of the operators that classifiers have, of sizes that divide badly."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from mutatenn import ir

SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 19, 23)
Shape = tuple[int, ...]
Graph = tuple[Callable[..., Any], list[Shape]]
"""A body of Relax expressions, and the shapes of its float32 arguments."""


def random_graph(rng: Random) -> tuple[str, Graph]:
    """Return the kind of a graph, and the graph."""
    kind = rng.choice(sorted(KINDS))
    return kind, KINDS[kind](rng)


def conv(rng: Random) -> Graph:
    batch, groups = rng.choice((1, 1, 1, 2)), rng.choice((1, 1, 1, 2, 3))
    inside, outside = groups * rng.choice((1, 2, 3, 4, 7)), groups * rng.choice((1, 2, 3, 5, 8, 13))
    return _window(rng, (batch, inside), (outside, inside // groups), groups)


def depthwise(rng: Random) -> Graph:
    channels = rng.choice((1, 3, 4, 7, 9))
    return _window(rng, (1, channels), (channels * rng.choice((1, 1, 1, 2)), 1), channels)


def _window(rng: Random, image: Shape, weight: Shape, groups: int) -> Graph:
    sides = [_side(rng, (1, 1, 2, 3, 3, 5, 7)) for _ in "hw"]
    strides, dilation = ([rng.choice(pool) for _ in "hw"] for pool in ((1, 1, 2, 3), (1, 1, 1, 2)))
    pads = [rng.choice((0, 0, 1, 2)) for _ in range(4)]
    size = tuple(size + (kernel - 1) * step for (size, kernel), step in zip(sides, dilation, strict=True))
    epilogue, shape = _epilogue(rng), (1, weight[0], 1, 1)

    def body(x: Any, w: Any, *more: Any) -> Any:
        y = ir.relax.op.nn.conv2d(x, w, strides=strides, padding=pads, dilation=dilation, groups=groups)
        return epilogue(y, *more)

    return body, [(*image, *size), (*weight, *(kernel for _, kernel in sides)), shape, shape]


def _side(rng: Random, kernels: Shape) -> tuple[int, int]:
    """Return how far a window slides, and its extent."""
    return rng.choice(SIZES), rng.choice(kernels)


def _epilogue(rng: Random) -> Callable[..., Any]:
    steps = [rng.choice("+*-r") for _ in range(rng.randrange(4))]

    def apply(y: Any, *values: Any) -> Any:
        op = ir.relax.op
        table = {"+": op.add, "*": op.multiply, "-": op.subtract, "r": lambda a, _: op.nn.relu(a)}
        for n, step in enumerate(steps):
            y = table[step](y, values[n % 2])
        return y

    return apply


def product(rng: Random) -> Graph:
    rows, terms, columns = (rng.choice((1, 1, 3, 5, 8, 17, 33)) for _ in range(3))
    batch = rng.choice(((), (), (2,), (3,)))
    turned = rng.random() < 0.3
    right = (*batch, columns, terms) if turned else (*batch, terms, columns)
    axes = [*range(len(batch)), len(batch) + 1, len(batch)]
    epilogue = _epilogue(rng)

    def body(a: Any, b: Any, *more: Any) -> Any:
        b = ir.relax.op.permute_dims(b, axes) if turned else b
        return epilogue(ir.relax.op.matmul(a, b), *more)

    return body, [(*batch, rows, terms), right, (columns,), (1,)]


def streamed(rng: Random) -> Graph:
    terms, columns = rng.choice(((260, 257), (512, 128), (67, 1009))), (1,)
    return lambda a, b, c: ir.relax.op.add(ir.relax.op.matmul(a, b), c), [(1, terms[0]), terms, columns]


def pool(rng: Random) -> Graph:
    sides = [_side(rng, (1, 2, 3, 5)) for _ in "hw"]
    pads = [rng.randrange(min(kernel, 2)) for _ in range(2) for _, kernel in sides]
    options: dict[str, Any] = {
        "pool_size": [kernel for _, kernel in sides],
        "strides": [rng.choice((1, 2, 3)) for _ in "hw"],
        "padding": pads,
        "ceil_mode": rng.random() < 0.2,
    }
    kind, size = rng.choice(("max_pool2d", "avg_pool2d")), tuple(size + kernel for size, kernel in sides)
    if kind == "avg_pool2d":
        options["count_include_pad"] = rng.random() < 0.5
    return lambda x: getattr(ir.relax.op.nn, kind)(x, **options), [(1, rng.choice((1, 3, 4, 7)), *size)]


def reduction(rng: Random) -> Graph:
    shape = tuple(rng.choice(SIZES) for _ in range(rng.choice((2, 3, 4))))
    axes = sorted(rng.sample(range(len(shape)), rng.randint(1, len(shape))))
    name, keep = rng.choice(("sum", "mean", "max", "min", "prod")), rng.random() < 0.5
    return lambda x: getattr(ir.relax.op, name)(x, axes, keepdims=keep), [shape]


def norm(rng: Random) -> Graph:
    shape = (rng.choice((1, 2, 3)), rng.choice(SIZES), rng.choice(SIZES))
    nn = ir.relax.op.nn
    bodies = {
        "softmax": lambda x, g, b: nn.softmax(x, rng.choice((1, 2))),
        "log_softmax": lambda x, g, b: nn.log_softmax(x, 2),
        "layer_norm": lambda x, g, b: nn.layer_norm(x, g, b, [-1]),
        "gelu": lambda x, g, b: ir.relax.op.add(nn.gelu(ir.relax.op.multiply(x, g)), b),
    }
    return bodies[rng.choice(sorted(bodies))], [shape, shape[2:], shape[2:]]


def elements(rng: Random) -> Graph:
    shape: Shape = (rng.choice((1, 1, 2)), *(rng.choice(SIZES) for _ in range(rng.choice((1, 2, 3)))))
    channel = (1, shape[1], *(1 for _ in shape[2:]))
    chosen = [rng.choice(sorted(UNARY)) if rng.random() < 0.4 else rng.choice("+*-m") for _ in range(6)]
    operands = [rng.randrange(9) for _ in chosen]

    def body(*arguments: Any) -> Any:
        op = ir.relax.op
        table = {"+": op.add, "*": op.multiply, "-": op.subtract, "m": op.maximum}
        values = list(arguments)
        for name, number in zip(chosen, operands, strict=True):
            last, other = values[-1], values[number % len(values)]
            values.append(table[name](last, other) if name in table else UNARY[name](last))
        return values[-1]

    return body, [shape, channel, (1,), shape]


UNARY: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: ir.relax.op.nn.relu(x),
    "clip": lambda x: ir.relax.op.clip(x, -1, 2),
    "sigmoid": lambda x: ir.relax.op.sigmoid(x),
    "tanh": lambda x: ir.relax.op.tanh(x),
    "square": lambda x: ir.relax.op.square(x),
    "negative": lambda x: ir.relax.op.negative(x),
    "quarter": lambda x: ir.relax.op.divide(x, ir.relax.const(4.0, "float32")),
    "third": lambda x: ir.relax.op.divide(x, ir.relax.const(3.0, "float32")),
    "where": lambda x: ir.relax.op.where(
        ir.relax.op.greater(x, ir.relax.const(0.0, "float32")), ir.relax.op.multiply(x, x), x
    ),
}


def moves(rng: Random) -> Graph:
    """Padding, slices, transposition and concatenation, with arithmetic before and after."""
    shape = tuple(rng.choice(SIZES) for _ in range(3))
    wide = tuple(rng.randrange(3) for _ in range(6))
    order, cut = rng.sample(range(3), 3), rng.random() < 0.5

    def body(x: Any, y: Any) -> Any:
        op = ir.relax.op
        z = op.nn.pad(op.multiply(x, y), wide)
        z = op.permute_dims(op.add(z, ir.relax.const(0.5, "float32")), order)
        z = op.concat([z, op.multiply(z, z)], axis=rng.randrange(3)) if cut else op.add(z, z)
        return op.strided_slice(op.multiply(z, z), [0], [0], [1000], [2])

    return body, [shape, shape]


KINDS: dict[str, Callable[[Random], Graph]] = {
    "conv": conv,
    "depthwise": depthwise,
    "elements": elements,
    "moves": moves,
    "norm": norm,
    "pool": pool,
    "product": product,
    "reduction": reduction,
    "streamed": streamed,
}
