"""Takes axes or elements in the wrong order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from mutatenn import Example, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import static_shape, with_argument
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.bugs.graph._base import BugMutator, integers

_IMAGE_RANK = 4
_IMAGE = {"x": (1, 2, 4, 4)}


class SoftmaxAxis(BugMutator):
    """Normalise over another axis: the second for the last, else the last, and rows for columns."""

    name = "softmax-axis"
    origin = "apache/tvm#9078: [Bug] Softmax in TFLite converter is channel first instead of channel last"
    ops = ("relax.nn.softmax",)
    needs = "other axis to take"

    def matches(self, call: Any) -> bool:
        """Accept tensors of several axes, one of the two concerned longer than 1."""
        shape = static_shape(call.args[0])
        return len(shape) > 1 and max(shape[_axis(call)], shape[_other_axis(call)]) > 1

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the softmax over the other axis."""
        del builder
        return ir.relax.op.nn.softmax(call.args[0], axis=_other_axis(call))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show scores, which all become 1, and channels."""
        softmax = "y = R.nn.softmax(x, axis={})"
        return [
            Example(graph(softmax.format(1), x=(1, 8)), graph(softmax.format(0), x=(1, 8))),
            Example(graph(softmax.format(3), **_IMAGE), graph(softmax.format(1), **_IMAGE)),
        ]


def _axis(call: Any) -> int:
    return int(call.attrs.axis) % len(static_shape(call.args[0]))


def _other_axis(call: Any) -> int:
    last = len(static_shape(call.args[0])) - 1
    if _axis(call) != last:
        return last
    return 0 if last == 1 else 1


class SwapConcatOperands(BugMutator):
    """Join two neighbouring operands of a concatenation in the wrong order."""

    name = "swap-concat-operands"
    origin = "iree-org/iree#20819: Incorrect concatenation with both Turbine and ONNX compilation"
    ops = ("relax.concat",)
    needs = "two different operands"

    def matches(self, call: Any) -> bool:
        """Accept operands that are not all the same."""
        return _pair(call) is not None

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the concatenation with the first two different neighbours swapped."""
        del builder
        first = _pair(call) or 0
        fields = list(call.args[0].fields)
        fields[first], fields[first + 1] = fields[first + 1], fields[first]
        return with_argument(call, 0, ir.relax.Tuple(fields))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show operands of different size."""
        shapes = {"a": (1, 2), "b": (1, 3)}
        concat = "y = R.concat(({}), axis=1)"
        return [Example(graph(concat.format("a, b"), **shapes), graph(concat.format("b, a"), **shapes))]


def _pair(call: Any) -> int | None:
    if not isinstance(call.args[0], ir.tvm.ir.Tuple):
        return None
    fields = list(call.args[0].fields)
    pairs = enumerate(pairwise(fields))
    return next((place for place, (one, other) in pairs if not one.same_as(other)), None)


class TransposeAsReshape(BugMutator):
    """Leave out moving the elements of a transposition, and only take the result's shape."""

    name = "transpose-as-reshape"
    origin = "huggingface/candle#3405: fix: conv2d_tiled produces wrong results when C == H == W"
    ops = ("relax.permute_dims",)
    needs = "transposition that moves elements"

    def matches(self, call: Any) -> bool:
        """Accept transpositions that move elements: those of axes of length 1 do not."""
        shape = static_shape(call.args[0])
        moved = [axis for axis in _order(call) if shape[axis] > 1] if shape else []
        return moved != sorted(moved)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the tensor, its elements as they are, in the transposed shape."""
        del builder
        shape = static_shape(call.args[0])
        return ir.relax.op.reshape(call.args[0], [shape[axis] for axis in _order(call)])

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a change of layout."""
        after = "y = R.reshape(x, (1, 4, 4, 2))"
        return [Example(graph("y = R.permute_dims(x, [0, 2, 3, 1])", **_IMAGE), graph(after, **_IMAGE))]


def _order(call: Any) -> tuple[int, ...]:
    rank = len(static_shape(call.args[0]))
    axes = call.attrs.axes
    return tuple(reversed(range(rank))) if axes is None else tuple(axis % rank for axis in integers(axes))


class FlattenChannelsLast(BugMutator):
    """Flatten an image with its channels last, though they come first."""

    name = "flatten-channels-last"
    origin = (
        "tensorflow/tfjs#2205: ChannelsFirst dataFormat in Flatten Layer Causes Different results for "
        "TFJS-Web vs Keras on same model weights and tensor"
    )
    ops = ("relax.reshape", "relax.flatten")
    needs = "image of several channels and pixels to flatten"

    def matches(self, call: Any) -> bool:
        """Accept images of several channels and pixels that become vectors."""
        shape, result = static_shape(call.args[0]), static_shape(call)
        if len(shape) != _IMAGE_RANK or max(result, default=0) != shape[1] * shape[2] * shape[3]:
            return False
        return shape[1] > 1 and shape[2] * shape[3] > 1

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the call on the image with its channels last."""
        moved = builder.emit(ir.relax.op.permute_dims(call.args[0], [0, 2, 3, 1]))
        return with_argument(call, 0, moved)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show what stands between convolutions and dense layers."""
        after = "t = R.permute_dims(x, [0, 2, 3, 1])\ny = R.reshape(t, (1, 32))"
        return [Example(graph("y = R.reshape(x, (1, 32))", **_IMAGE), graph(after, **_IMAGE))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per mistake."""
    return [SoftmaxAxis, SwapConcatOperands, TransposeAsReshape, FlattenChannelsLast]
