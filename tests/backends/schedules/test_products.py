"""Convolutions and matrix products, scheduled, equal the unscheduled ones bit for bit."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from sampling import sampled

from mutatenn import ir


@attrs.frozen
class Conv:
    channels: int
    size: tuple[int, int]
    filters: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    batch: int = 1
    epilogue: str = ""
    rule: str = "tile_products"

    def graph(self, make_graph: Any) -> Any:
        op = ir.relax.op
        image = (self.batch, self.channels, *self.size)
        weight = (self.filters, self.channels // self.groups, *self.kernel)
        height, width = (
            (size + before + after - kernel) // stride + 1
            for size, before, after, kernel, stride in zip(
                self.size, self.pad[:2], self.pad[2:], self.kernel, self.stride, strict=True
            )
        )
        bias, result = (1, self.filters, 1, 1), (self.batch, self.filters, height, width)

        def body(x: Any, w: Any, *more: Any) -> Any:
            y = op.nn.conv2d(x, w, strides=self.stride, padding=self.pad, groups=self.groups)
            for step, value in zip(self.epilogue, more, strict=True):
                y = op.multiply(y, value) if step == "*" else op.add(y, value)
            return op.clip(op.nn.relu(y), 0, 6) if self.epilogue else y

        shapes = {"*": bias, "+": bias, "r": result}
        return make_graph(body, image, weight, *(shapes[step] for step in self.epilogue))


POINTWISE = [
    Conv(24, (14, 14), 24, epilogue="+"),
    Conv(16, (7, 7), 20, epilogue="+r"),
    Conv(5, (13, 11), 7, epilogue="+*+"),
    Conv(3, (3, 2), 2),
    Conv(8, (28, 28), 33, epilogue="*+r"),
    Conv(12, (9, 9), 10, stride=(2, 2), epilogue="+"),
    Conv(12, (14, 14), 10, stride=(2, 2), batch=2),
    Conv(17, (1, 9), 5),
    Conv(200, (7, 7), 200, epilogue="+"),
]
SPATIAL = [
    Conv(4, (10, 10), 8, (3, 3), pad=(1, 1, 1, 1), epilogue="+r"),
    Conv(3, (31, 29), 8, (3, 3), (2, 2), (0, 0, 1, 1), epilogue="+*+"),
    Conv(3, (32, 32), 6, (7, 7), (2, 2), (3, 3, 3, 3), epilogue="+"),
    Conv(2, (35, 35), 5, (11, 11), (4, 4), (2, 2, 2, 2)),
    Conv(3, (17, 17), 4, (5, 5), pad=(2, 1, 0, 3), epilogue="+"),
    Conv(32, (7, 7), 16, (3, 3), pad=(1, 1, 1, 1), epilogue="*+"),
    Conv(16, (14, 14), 16, (3, 3), (2, 2), (1, 1, 1, 1)),
    Conv(4, (12, 20), 6, (1, 7), pad=(0, 3, 0, 3)),
    Conv(4, (20, 12), 6, (7, 1), pad=(3, 0, 3, 0)),
    Conv(4, (12, 12), 6, (3, 3), (1, 3), (1, 1, 1, 1)),
    Conv(4, (9, 9), 6, (3, 3), batch=3, pad=(1, 1, 1, 1), epilogue="+"),
    Conv(4, (5, 5), 6, (5, 5), rule=""),
]
GROUPED = [
    Conv(12, (8, 8), 24, groups=4, epilogue="+"),
    Conv(8, (9, 9), 8, (3, 3), groups=2, pad=(1, 1, 1, 1)),
    Conv(256, (7, 7), 512, groups=2, epilogue="+"),
    Conv(6, (9, 9), 12, (3, 3), (2, 2), groups=3, pad=(0, 0, 1, 1), epilogue="+*"),
]
DEPTHWISE = [
    Conv(7, (14, 14), 7, (3, 3), pad=(1, 1, 1, 1), groups=7, epilogue="+", rule="tile_windows"),
    Conv(4, (15, 15), 4, (3, 3), (2, 2), (0, 0, 1, 1), groups=4, epilogue="+r", rule="tile_windows"),
    Conv(4, (33, 20), 4, (5, 5), pad=(2, 2, 2, 2), groups=4, epilogue="*+", rule="tile_windows"),
    Conv(3, (7, 7), 3, (3, 3), pad=(1, 1, 1, 1), groups=3, rule="tile_windows"),
    Conv(3, (7, 7), 6, (3, 3), pad=(1, 1, 1, 1), groups=3, rule=""),
]


@pytest.mark.parametrize("conv", sampled([*POINTWISE, *SPATIAL, *GROUPED, *DEPTHWISE], 2), ids=str)
def test_convolution(native: Any, make_graph: Any, conv: Conv) -> None:
    (kernel,) = native.kernels(conv.graph(make_graph))
    rule = native.check(kernel)
    assert rule
    assert not conv.rule or rule == conv.rule


@pytest.mark.parametrize(
    "conv", sampled([SPATIAL[1], POINTWISE[0], SPATIAL[0], DEPTHWISE[1], GROUPED[1]], 3), ids=str
)
def test_every_kernel_of_the_extended_profile(native: Any, make_graph: Any, conv: Conv) -> None:
    for kernel in native.kernels(conv.graph(make_graph), "extended"):
        assert native.check(kernel)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, 70), (70, 33)),
        ((1, 300), (300, 256)),
        ((5, 40), (40, 24)),
        ((3, 8, 9), (3, 9, 20)),
        ((2, 6), (6, 1)),
    ],
    ids=str,
)
def test_matrix_product(native: Any, make_graph: Any, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    op = ir.relax.op
    bias = right[-1:]
    (kernel,) = native.kernels(
        make_graph(lambda a, b, c: op.nn.relu(op.add(op.matmul(a, b), c)), left, right, bias)
    )
    assert native.check(kernel)


@pytest.mark.parametrize("outputs", [1, 3, 7, 10, 17, 96])
def test_product_with_rows_along_memory(native: Any, make_graph: Any, outputs: int) -> None:
    (kernel,) = native.kernels(Conv(50, (1, 1), outputs, epilogue="+").graph(make_graph))
    native.check(kernel)
