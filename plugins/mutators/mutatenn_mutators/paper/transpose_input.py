"""Swaps two axes of a tensor that a layer reads, in a way that keeps its shape."""

from __future__ import annotations

from itertools import combinations
from typing import Any, ClassVar

from mutatenn import Example, GraphMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import is_dense, static_shape, with_argument
from mutatenn_mutators._shared.paper import PAPER
from mutatenn_mutators._shared.sources import graph


class TransposeInput(GraphMutator):
    """Swap two axes of equal size, height and width first, then the last such pair."""

    category = "NIO"
    groups = ("paper",)
    origin = PAPER
    argument: ClassVar[int]
    """Which of the call's arguments is transposed."""
    needs = "two axes of equal size to swap"

    def spatial(self, call: Any) -> tuple[int, ...]:
        """Return the axes of height and width; nothing, as for a matrix, where there are none."""
        del call
        return ()

    def matches(self, call: Any) -> bool:
        """Accept tensors with two axes of the same size above 1; on others the fault is impossible."""
        return self._axes(call) is not None

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the call on the transposed tensor."""
        tensor = call.args[self.argument]
        order = list(range(len(static_shape(tensor))))
        one, other = self._axes(call) or (0, 0)
        order[one], order[other] = other, one
        transposed = builder.emit(ir.relax.op.permute_dims(tensor, order))
        return with_argument(call, self.argument, transposed)

    def _axes(self, call: Any) -> tuple[int, int] | None:
        shape = static_shape(call.args[self.argument])
        pairs = [*combinations(self.spatial(call), 2), *reversed(list(combinations(range(len(shape)), 2)))]
        return next((pair for pair in pairs if shape and shape[pair[0]] == shape[pair[1]] > 1), None)


def _height_and_width(layout: str) -> tuple[int, ...]:
    return tuple(sorted((layout.index("H"), layout.index("W"))))


class TransposeConv2dData(TransposeInput):
    """Swap height and width of what a convolution reads."""

    name = "transpose-conv2d-data"
    ops = ("relax.nn.conv2d",)
    argument = 0

    def spatial(self, call: Any) -> tuple[int, ...]:
        """Return height and width as the layout names them."""
        return _height_and_width(call.attrs.data_layout)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the usual layout and channels-last."""
        nchw: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8), "w": (4, 4, 3, 3)}
        nhwc: dict[str, tuple[int, ...]] = {"x": (1, 8, 8, 8), "w": (4, 8, 3, 3)}
        return [
            Example(
                graph("y = R.nn.conv2d(x, w)", **nchw),
                graph("t = R.permute_dims(x, [0, 1, 3, 2])\ny = R.nn.conv2d(t, w)", **nchw),
            ),
            Example(
                graph('y = R.nn.conv2d(x, w, data_layout="NHWC")', **nhwc),
                graph(
                    't = R.permute_dims(x, [0, 2, 1, 3])\ny = R.nn.conv2d(t, w, data_layout="NHWC")', **nhwc
                ),
            ),
        ]


class TransposeConv2dWeight(TransposeInput):
    """Swap height and width of a convolution's kernel, or its channels where the kernel is 1x1."""

    name = "transpose-conv2d-weight"
    ops = ("relax.nn.conv2d",)
    argument = 1

    def spatial(self, call: Any) -> tuple[int, ...]:
        """Return height and width as the layout names them."""
        return _height_and_width(call.attrs.kernel_layout)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a 3x3 and a 1x1 kernel."""
        wide: dict[str, tuple[int, ...]] = {"x": (1, 2, 8, 8), "w": (4, 2, 3, 3)}
        point: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8), "w": (4, 4, 1, 1)}
        return [
            Example(
                graph("y = R.nn.conv2d(x, w)", **wide),
                graph("t = R.permute_dims(w, [0, 1, 3, 2])\ny = R.nn.conv2d(x, t)", **wide),
            ),
            Example(
                graph("y = R.nn.conv2d(x, w)", **point),
                graph("t = R.permute_dims(w, [1, 0, 2, 3])\ny = R.nn.conv2d(x, t)", **point),
            ),
        ]


class TransposeBatchNormData(TransposeInput):
    """Swap height and width of what a batch normalisation reads."""

    name = "transpose-batch-norm-data"
    ops = ("relax.nn.batch_norm",)
    argument = 0

    def spatial(self, call: Any) -> tuple[int, ...]:
        """Return the axes that are neither the batch nor the channels."""
        rank = len(static_shape(call.args[0]))
        return tuple(axis for axis in range(1, rank) if axis != call.attrs.axis % rank)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the usual layout."""
        shapes: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8)} | dict.fromkeys("gbmv", (4,))
        return [
            Example(
                graph("n = R.nn.batch_norm(x, g, b, m, v, axis=1)\ny = n[0]", **shapes),
                graph(
                    """
                    t = R.permute_dims(x, [0, 1, 3, 2])
                    n = R.nn.batch_norm(t, g, b, m, v, axis=1)
                    y = n[0]
                    """,
                    **shapes,
                ),
            )
        ]


class TransposeDense(TransposeInput):
    """Transpose an operand of a dense layer."""

    version = 2
    ops = ("relax.matmul",)

    def matches(self, call: Any) -> bool:
        """Accept operands with two axes of the same size, but not products of two batches."""
        return super().matches(call) and is_dense(call)


class TransposeDenseData(TransposeDense):
    """Transpose what a dense layer (product by a matrix) reads, where that is square."""

    name = "transpose-dense-data"
    argument = 0

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a square matrix."""
        shapes = {"x": (1, 8, 8), "w": (8, 4)}
        return [
            Example(
                graph("y = R.matmul(x, w)", **shapes),
                graph("t = R.permute_dims(x, [0, 2, 1])\ny = R.matmul(t, w)", **shapes),
            )
        ]


class TransposeDenseWeight(TransposeDense):
    """Transpose the weights of a dense layer (product by a matrix), where they are square."""

    name = "transpose-dense-weight"
    argument = 1

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a square matrix."""
        shapes = {"x": (1, 8), "w": (8, 8)}
        return [
            Example(
                graph("y = R.matmul(x, w)", **shapes),
                graph("t = R.permute_dims(w, [1, 0])\ny = R.matmul(x, t)", **shapes),
            )
        ]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per layer and tensor."""
    return [
        TransposeConv2dData,
        TransposeConv2dWeight,
        TransposeDenseData,
        TransposeDenseWeight,
        TransposeBatchNormData,
    ]
