"""Reductions over one element start from nothing, as others do, not from what is in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import ir

Shape = tuple[int, ...]

# What it computes in Relax and in numpy, of which shapes, and the rule that schedules it.
CASES: dict[str, tuple[Any, Any, tuple[Shape, ...], str]] = {
    "product": (lambda a, b: ir.relax.op.matmul(a, b), np.matmul, ((5, 1), (1, 30)), "tile_products"),
    "product of numbers": (
        lambda a, b: ir.relax.op.matmul(a, b),
        np.matmul,
        ((1, 1), (1, 3)),
        "tile_windows",
    ),
    "convolution": (
        lambda x, w: ir.relax.op.nn.conv2d(x, w),
        lambda x, w: x * w.reshape(1, 4, 1, 1),
        ((1, 1, 8, 9), (4, 1, 1, 1)),
        "tile_products",
    ),
    "padded, and an epilogue": (
        lambda x, w: ir.relax.op.nn.relu(ir.relax.op.nn.conv2d(x, w, padding=(1, 1))),
        lambda x, w: np.maximum(np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)]) * w.reshape(1, 4, 1, 1), 0),
        ((1, 1, 8, 9), (4, 1, 1, 1)),
        "tile_products",
    ),
    "depthwise": (
        lambda x, w: ir.relax.op.nn.conv2d(x, w, groups=4),
        lambda x, w: x * w.reshape(1, 4, 1, 1),
        ((1, 4, 7, 9), (4, 1, 1, 1)),
        "tile_windows",
    ),
    "depthwise, strided": (
        lambda x, w: ir.relax.op.nn.conv2d(x, w, groups=4, strides=(2, 2)),
        lambda x, w: x[:, :, ::2, ::2] * w.reshape(1, 4, 1, 1),
        ((1, 4, 7, 9), (4, 1, 1, 1)),
        "sum_side_by_side",
    ),
    "maximum, strided": (
        lambda x: ir.relax.op.nn.max_pool2d(x, (1, 1), strides=(2, 2)),
        lambda x: x[:, :, ::2, ::2],
        ((1, 3, 8, 8),),
        "sum_side_by_side",
    ),
    "mean": (lambda x: ir.relax.op.nn.avg_pool2d(x, (1, 1)), lambda x: x, ((1, 3, 5, 8),), "tile_windows"),
    "global": (
        lambda x: ir.relax.op.max(x, (2, 3), keepdims=True),
        lambda x: x,
        ((1, 30, 1, 1),),
        "tile_windows",
    ),
    "an axis": (lambda x: ir.relax.op.max(x, (1,)), lambda x: x[:, 0], ((4, 1, 6),), "tile_windows"),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_one_element(native: Any, make_graph: Any, make_arguments: Any, case: str) -> None:
    body, compute, shapes, rule = CASES[case]
    (kernel,) = native.kernels(make_graph(body, *shapes))
    assert native.check(kernel) == rule
    arguments = make_arguments(kernel)
    (result,) = native.run(native.rule_of(kernel)[1], arguments)
    np.testing.assert_allclose(result, compute(*arguments), rtol=1e-6)
