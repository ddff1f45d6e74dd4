"""Reads a layer's weights wrongly: in another layout, rotated, rounded, or without its groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutatenn import Example, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import static_shape, with_argument
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.bugs.graph._base import CONV2D, BugMutator, with_attributes

MATMUL = "relax.matmul"
_CONV: dict[str, tuple[int, ...]] = {"x": (1, 2, 8, 8), "w": (4, 2, 3, 3)}
_DENSE = {"x": (1, 8), "w": (8, 4)}
_MATRIX = 2


class SwapWeightLayout(BugMutator):
    """Take the weights of a layer to be stored with input and output channels the other way round."""

    name = "swap-weight-layout"
    origin = "apache/tvm#3562: [TOPI][C++]conv2d_nchw mistake?"
    ops = (CONV2D, MATMUL)
    needs = "weights of several channels of both kinds"

    def matches(self, call: Any) -> bool:
        """Accept weights with several channels of both kinds; of one kind, the layouts are the same."""
        shape, axes = static_shape(call.args[1]), _channels(call)
        return bool(axes) and all(shape[axis] > 1 for axis in axes)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the layer with the weights' memory read in the other order."""
        one, other = _channels(call)
        shape = list(static_shape(call.args[1]))
        order = list(range(len(shape)))
        order[one], order[other] = other, one
        stored = builder.emit(ir.relax.op.reshape(call.args[1], [shape[axis] for axis in order]))
        return with_argument(call, 1, builder.emit(ir.relax.op.permute_dims(stored, order)))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a convolution and a dense layer."""
        conv = "s = R.reshape(w, (2, 4, 3, 3))\nt = R.permute_dims(s, [1, 0, 2, 3])\ny = R.nn.conv2d(x, t)"
        dense = "s = R.reshape(w, (4, 8))\nt = R.permute_dims(s, [1, 0])\ny = R.matmul(x, t)"
        return [
            Example(graph("y = R.nn.conv2d(x, w)", **_CONV), graph(conv, **_CONV)),
            Example(graph("y = R.matmul(x, w)", **_DENSE), graph(dense, **_DENSE)),
        ]


def _channels(call: Any) -> tuple[int, ...]:
    """Return the axes of output and input channels; nothing where they are not known."""
    rank = len(static_shape(call.args[1]))
    if call.op.name == MATMUL:
        return (0, 1) if rank == _MATRIX else ()
    layout = str(call.attrs.kernel_layout)
    return (layout.index("O"), layout.index("I")) if rank == len(layout) else ()


class RotateKernel(BugMutator):
    """Rotate a convolution's kernel by 180 degrees: true convolution for cross-correlation."""

    name = "rotate-kernel"
    origin = "onnx/onnx#1178: Improve the conv op testcase"
    ops = (CONV2D,)
    needs = "window larger than 1x1"

    def matches(self, call: Any) -> bool:
        """Accept kernels larger than 1x1."""
        shape = static_shape(call.args[1])
        return bool(shape) and any(shape[axis] > 1 for axis in _spatial(call))

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the convolution with the kernel turned around along height and width."""
        weights = call.args[1]
        for axis in _spatial(call):
            weights = builder.emit(ir.relax.op.flip(weights, axis))
        return with_argument(call, 1, weights)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a 3x3 kernel."""
        after = "v = R.flip(w, axis=2)\nr = R.flip(v, axis=3)\ny = R.nn.conv2d(x, r)"
        return [Example(graph("y = R.nn.conv2d(x, w)", **_CONV), graph(after, **_CONV))]


def _spatial(call: Any) -> tuple[int, ...]:
    layout = str(call.attrs.kernel_layout)
    return layout.index("H"), layout.index("W")


class IgnoreGroups(BugMutator):
    """Let every group of a grouped convolution read the channels of the first."""

    name = "ignore-groups"
    origin = "pytorch/pytorch#19912: Grouped convolution produces wrong results on CPU"
    ops = (CONV2D,)
    needs = "groups"

    def matches(self, call: Any) -> bool:
        """Accept convolutions of several groups, depthwise ones included."""
        return int(call.attrs.groups) > 1 and bool(static_shape(call.args[0]))

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the convolution of the first group's channels with all weights."""
        axis = str(call.attrs.data_layout).index("C")
        channels = static_shape(call.args[0])[axis] // int(call.attrs.groups)
        first = builder.emit(ir.relax.op.strided_slice(call.args[0], [axis], [0], [channels]))
        return with_attributes(with_argument(call, 0, first), groups=1)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show two groups."""
        shapes: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8), "w": (6, 2, 3, 3)}
        after = "g = R.strided_slice(x, axes=[1], begin=[0], end=[2])\ny = R.nn.conv2d(g, w)"
        return [Example(graph("y = R.nn.conv2d(x, w, groups=2)", **shapes), graph(after, **shapes))]


class RoundWeights(BugMutator):
    """Round a layer's weights to the 11 significant bits of float16, which TensorFloat-32 keeps too."""

    name = "round-weights"
    origin = "pytorch/pytorch#53635: torch.matmul() gives rounded results for 30xx cards"
    ops = (CONV2D, MATMUL)
    needs = "weights that float16 would round"

    def matches(self, call: Any) -> bool:
        """Accept weights in float32, unless they are known to be exact in float16."""
        weights = call.args[1]
        if str(weights.ty.dtype) != "float32":
            return False
        if not isinstance(weights, ir.tvm.ir.GenericConst):
            return True
        values = weights.value.numpy()
        with np.errstate(over="ignore"):
            return not np.array_equal(values, values.astype(np.float16))

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the layer with its weights rounded."""
        half = builder.emit(ir.relax.op.astype(call.args[1], "float16"))
        return with_argument(call, 1, builder.emit(ir.relax.op.astype(half, "float32")))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a dense layer."""
        after = 'h = R.astype(w, "float16")\nr = R.astype(h, "float32")\ny = R.matmul(x, r)'
        return [Example(graph("y = R.matmul(x, w)", **_DENSE), graph(after, **_DENSE))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per mistake."""
    return [SwapWeightLayout, RotateKernel, IgnoreGroups, RoundWeights]
