"""Pooling, reductions and kernels without reductions, scheduled, equal the unscheduled ones bit for bit."""

from __future__ import annotations

from typing import Any

import pytest

from mutatenn import ir


def pool(kind: str, **options: Any) -> Any:
    return lambda x: getattr(ir.relax.op.nn, kind)(x, **options)


POOLS: list[tuple[Any, tuple[int, ...]]] = [
    (("max_pool2d", {"pool_size": (3, 3), "strides": (2, 2), "padding": (1, 1, 1, 1)}), (1, 5, 28, 28)),
    (("max_pool2d", {"pool_size": (2, 2), "strides": (2, 2)}), (1, 3, 14, 20)),
    (("max_pool2d", {"pool_size": (3, 3), "strides": (2, 2), "ceil_mode": True}), (1, 4, 13, 13)),
    (("avg_pool2d", {"pool_size": (3, 3), "strides": (1, 1), "padding": (1, 1, 1, 1)}), (1, 4, 9, 9)),
    (("avg_pool2d", {"pool_size": (3, 3), "strides": (2, 2), "padding": (0, 0, 1, 1)}), (2, 4, 17, 17)),
    (("avg_pool2d", {"pool_size": (7, 7)}), (1, 24, 7, 7)),
    (("max_pool2d", {"pool_size": (13, 13)}), (1, 9, 13, 13)),
]


@pytest.mark.parametrize(("call", "shape"), POOLS, ids=str)
def test_pooling(native: Any, make_graph: Any, call: Any, shape: tuple[int, ...]) -> None:
    kind, options = call
    for kernel in native.kernels(make_graph(pool(kind, **options), shape)):
        assert native.check(kernel)


@pytest.mark.parametrize(
    ("axis", "shape"),
    [((2, 3), (1, 24, 7, 7)), ((1,), (1, 20, 30)), ((3,), (1, 4, 6, 50)), ((0, 1), (5, 6))],
    ids=str,
)
def test_reduction(native: Any, make_graph: Any, axis: tuple[int, ...], shape: tuple[int, ...]) -> None:
    for keep in (True, False):
        for kernel in native.kernels(make_graph(lambda x: ir.relax.op.mean(x, axis, keepdims=keep), shape)):  # noqa: B023
            native.check(kernel)


@pytest.mark.parametrize("shape", [(1, 10), (1, 1001), (4, 33)], ids=str)
def test_softmax(native: Any, make_graph: Any, shape: tuple[int, ...]) -> None:
    (kernel,) = native.kernels(make_graph(ir.relax.op.nn.softmax, shape))
    native.check(kernel)


def elementwise(x: Any, scale: Any, shift: Any, other: Any) -> Any:
    op = ir.relax.op
    return op.nn.relu(op.add(op.add(op.multiply(op.subtract(x, shift), scale), shift), other))


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (5, 3), (28, 28), (13, 17)], ids=str)
def test_elementwise_chain(native: Any, make_graph: Any, size: tuple[int, int]) -> None:
    shape, channel = (1, 6, *size), (1, 6, 1, 1)
    (kernel,) = native.kernels(make_graph(elementwise, shape, channel, channel, shape))
    assert native.check(kernel) == "map_elements"


@pytest.mark.slow
def test_a_chain_on_every_processor(benches: Any, make_graph: Any, make_arguments: Any) -> None:
    """Loops as short as these are unrolled, and LLVM sees products and sums side by side."""
    shape, channel = (1, 6, 5, 3), (1, 6, 1, 1)
    for bench in benches.values():
        (kernel,) = bench.kernels(make_graph(elementwise, shape, channel, channel, shape))
        (scheduled,) = bench.run(bench.rule_of(kernel)[1], make_arguments(kernel), poison=False)
        (unscheduled,) = bench.run(kernel, make_arguments(kernel), poison=False)
        assert scheduled.tobytes() == unscheduled.tobytes(), bench.backend.mcpu


def concatenated(a: Any, b: Any, c: Any) -> Any:
    return ir.relax.op.nn.relu(ir.relax.op.concat([a, b, c], axis=1))


def shuffled(x: Any) -> Any:
    op = ir.relax.op
    return op.reshape(op.permute_dims(op.reshape(x, (1, 4, 3, 7, 7)), (0, 2, 1, 3, 4)), (1, 12, 7, 7))


MOVES: list[tuple[Any, tuple[tuple[int, ...], ...]]] = [
    (concatenated, ((1, 3, 9, 9), (1, 2, 9, 9), (1, 5, 9, 9))),
    (shuffled, ((1, 12, 7, 7),)),
    (lambda x: ir.relax.op.permute_dims(x, (0, 2, 3, 1)), ((1, 9, 5, 6),)),
    (lambda x: ir.relax.op.permute_dims(x, (0, 3, 1, 2)), ((1, 9, 5, 6),)),
    (lambda x: ir.relax.op.nn.pad(x, (0, 0, 0, 0, 1, 2, 3, 0)), ((1, 3, 5, 6),)),
    (lambda x: ir.relax.op.reshape(x, (6, 15)), ((1, 6, 3, 5),)),
    (lambda x: ir.relax.op.strided_slice(x, [1], [1], [4]), ((1, 6, 9, 5),)),
    (lambda x: ir.relax.op.exp(x), ((1,),)),
]


@pytest.mark.parametrize(("body", "shapes"), MOVES)
def test_moves(native: Any, make_graph: Any, body: Any, shapes: Any) -> None:
    for kernel in native.kernels(make_graph(body, *shapes)):
        assert native.check(kernel) == "map_elements"
