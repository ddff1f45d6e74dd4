"""Pads an image wrongly, or counts the padding wrongly."""

from __future__ import annotations

from typing import Any

from mutatenn import Example, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import static_shape
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.bugs.graph._base import (
    CONV2D,
    POOLS,
    BugMutator,
    SeeingMutator,
    fill,
    integers,
    producer,
    window,
    with_attributes,
)

PAD = "relax.nn.pad"
_CONV: dict[str, tuple[int, ...]] = {"x": (1, 2, 8, 8), "w": (4, 2, 3, 3)}
_IMAGE = {"x": (1, 2, 7, 7)}


class SwapPaddingSides(BugMutator):
    """Pad at the start of an axis what belongs at its end and the other way round."""

    name = "swap-padding-sides"
    origin = "root-project/root#21793: [tmva][sofie] fix SAME_UPPER/SAME_LOWER autopad padding formula"
    ops = (CONV2D, *POOLS, PAD)
    needs = "padding that differs between two sides"

    def matches(self, call: Any) -> bool:
        """Accept padding that is not the same on both sides."""
        return _swapped(call) != _padding(call)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the call with the sides swapped."""
        del builder
        if call.op.name != PAD:
            return with_attributes(call, padding=_swapped(call))
        mode, value = str(call.attrs.pad_mode), float(call.attrs.pad_value)
        return ir.relax.op.nn.pad(call.args[0], list(_swapped(call)), mode, value)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a convolution, padded as TensorFlow pads one with stride 2, and padding by itself."""
        strided = "y = R.nn.conv2d(x, w, strides=[2, 2], padding=[{}])"
        padded = "y = R.nn.pad(x, [0, 0, 0, 0, {}])"
        return [
            Example(
                graph(strided.format("0, 0, 1, 1"), **_CONV), graph(strided.format("1, 1, 0, 0"), **_CONV)
            ),
            Example(
                graph(padded.format("1, 0, 2, 3"), **_IMAGE), graph(padded.format("0, 1, 3, 2"), **_IMAGE)
            ),
        ]


def _padding(call: Any) -> tuple[int, ...]:
    return integers(call.attrs.pad_width if call.op.name == PAD else call.attrs.padding)


def _swapped(call: Any) -> tuple[int, ...]:
    padding = _padding(call)
    if call.op.name != PAD:
        return (*padding[2:], *padding[:2])
    return tuple(padding[place ^ 1] for place in range(len(padding)))


class PadAtStart(BugMutator):
    """Put all padding before the image, which shifts it: both sides' sum taken for each side's padding."""

    name = "pad-at-start"
    origin = "apache/tvm#5433: fix miopen padding"
    ops = (CONV2D, *POOLS)
    needs = "padding on both sides of an axis"

    def matches(self, call: Any) -> bool:
        """Accept padding on both sides of an axis, unless a pooling window would lie in it entirely."""
        top, left, bottom, right = _padding(call)
        if call.op.name in POOLS:
            height, width = integers(call.attrs.pool_size)
            if top + bottom >= height or left + right >= width:
                return False
        return min(top, bottom) > 0 or min(left, right) > 0

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the call with the same padding in all, but none at the end."""
        del builder
        top, left, bottom, right = _padding(call)
        return with_attributes(call, padding=(top + bottom, left + right, 0, 0))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a convolution that keeps the image's size."""
        before = "y = R.nn.conv2d(x, w, padding=[1, 1, 1, 1])"
        return [Example(graph(before, **_CONV), graph(before.replace("1, 1, 1, 1", "2, 2, 0, 0"), **_CONV))]


class PoolFloorForCeil(BugMutator):
    """Leave out the windows that reach beyond the end of the image; what they would give is 0."""

    name = "pool-floor-for-ceil"
    origin = (
        "root-project/root#21774: [tmva][sofie] Pool operator ignores ceil_mode attribute, always uses floor "
        "division for output shape"
    )
    ops = POOLS
    needs = "size that is rounded up"

    def matches(self, call: Any) -> bool:
        """Accept pooling that rounds its result's size up, by itself or by more padding at the end."""
        seen = window(call)
        if seen is None or not (call.attrs.ceil_mode or _floor_padding(call) != _padding(call)):
            return False
        given = zip(seen.image, seen.start, _floor_padding(call)[2:], strict=True)
        extents = [
            (sum(sizes) - (width - 1) * step - 1) // stride + 1
            for sizes, width, step, stride in zip(
                given, seen.kernel, seen.dilation, seen.strides, strict=True
            )
        ]
        return min(extents) > 0 and tuple(extents) != seen.result

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the pooling rounded down, filled up with zeros."""
        shape = static_shape(builder.normalize(call))
        return fill(with_attributes(call, ceil_mode=False, padding=_floor_padding(call)), shape, builder)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show rounding up as an attribute, and as padding."""
        pool = "{} = R.nn.max_pool2d(x, pool_size=[2, 2], strides=[2, 2]{})"
        after = pool.format("p", "") + "\ny = R.nn.pad(p, [0, 0, 0, 0, 0, 1, 0, 1])"
        return [
            Example(graph(pool.format("y", extra), **_IMAGE), graph(after, **_IMAGE))
            for extra in (", ceil_mode=True", ", padding=[0, 0, 1, 1]")
        ]


def _floor_padding(call: Any) -> tuple[int, ...]:
    top, left, bottom, right = _padding(call)
    return top, left, min(top, bottom), min(left, right)


class FlipCountIncludePad(BugMutator):
    """Count padding in an average where it should not count, and the other way round."""

    name = "flip-count-include-pad"
    origin = "neo-ai/tvm#32: avg_pool2d count_include_pad flag not set correctly in TensorRT wrapper"
    ops = ("relax.nn.avg_pool2d",)
    needs = "padding"

    def matches(self, call: Any) -> bool:
        """Accept pooling with padding."""
        return any(_padding(call))

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the pooling with the flag flipped."""
        del builder
        return with_attributes(call, count_include_pad=not call.attrs.count_include_pad)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a padded pooling."""
        before = "y = R.nn.avg_pool2d(x, pool_size=[3, 3], padding=[1, 1, 1, 1])"
        after = before[:-1] + ", count_include_pad=True)"
        return [Example(graph(before, **_IMAGE), graph(after, **_IMAGE))]


class MaxPoolPadZero(SeeingMutator):
    """Pad with 0 what max pooling reads, where minus infinity belongs."""

    name = "max-pool-pad-zero"
    origin = "apache/mxnet#2753: Problem while use padding in pooling layer"
    ops = ("relax.nn.max_pool2d",)
    needs = "padding of what may be negative"

    def matches(self, call: Any) -> bool:
        """Accept padded pooling of what may be negative, which the result of ReLU is not."""
        return window(call) is not None and any(_padding(call)) and not _is_non_negative(call.args[0])

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the pooling of the image with the padding around it."""
        top, left, bottom, right = _padding(call)
        sides = {"H": (top, bottom), "W": (left, right)}
        widths = [width for axis in str(call.attrs.layout) for width in sides.get(axis, (0, 0))]
        padded = builder.emit(ir.relax.op.nn.pad(call.args[0], widths))
        pooled = with_attributes(call, padding=(0, 0, 0, 0))
        return ir.relax.Call(pooled.op, [padded], pooled.attrs, pooled.ty_args)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a padded pooling."""
        after = """
            p = R.nn.pad(x, [0, 0, 0, 0, 1, 1, 1, 1])
            y = R.nn.max_pool2d(p, pool_size=[3, 3], strides=[2, 2])
        """
        before = "y = R.nn.max_pool2d(x, pool_size=[3, 3], strides=[2, 2], padding=[1, 1, 1, 1])"
        return [Example(graph(before, **_IMAGE), graph(after, **_IMAGE))]


_KEEP_SIGN = {
    *POOLS,
    "relax.reshape",
    "relax.permute_dims",
    "relax.strided_slice",
    "relax.mean",
    "relax.concat",
}
_NON_NEGATIVE = {"relax.nn.relu", "relax.sigmoid", "relax.nn.softmax", "relax.exp"}


def _is_non_negative(value: Any) -> bool:
    """Tell whether a value cannot be negative."""
    made = producer(value)
    if isinstance(made, ir.tvm.ir.Tuple):
        return all(map(_is_non_negative, made.fields))
    name = getattr(getattr(made, "op", None), "name", "")
    if name == "relax.clip":
        return bool(getattr(made.args[1], "value", -1) >= 0)
    return name in _NON_NEGATIVE or (name in _KEEP_SIGN and _is_non_negative(made.args[0]))


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per mistake."""
    return [SwapPaddingSides, PadAtStart, PoolFloorForCeil, FlipCountIncludePad, MaxPoolPadZero]
