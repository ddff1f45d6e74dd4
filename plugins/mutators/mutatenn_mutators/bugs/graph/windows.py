"""Moves a convolution's or pooling's window wrongly: strides and dilation."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from mutatenn import Example, Mutator, hookimpl
from mutatenn_mutators._shared.calls import static_shape
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.bugs.graph._base import (
    CONV2D,
    POOLS,
    BugMutator,
    Window,
    crop,
    window,
    with_attributes,
)

Steps = tuple[tuple[int, int], tuple[int, int]]
_IMAGE: dict[str, tuple[int, ...]] = {"x": (1, 2, 9, 9), "w": (4, 2, 3, 3)}


class MoveWindow(BugMutator):
    """Read the same number of results at other places; beyond the image there is padding."""

    @abstractmethod
    def steps(self, seen: Window) -> Steps:
        """Return the wrong strides and dilation."""

    def matches(self, call: Any) -> bool:
        """Accept windows of known shape that would read anything else than they should."""
        seen = window(call)
        return seen is not None and any(
            (stride != seen.strides[axis] and seen.result[axis] > 1)
            or (step != seen.dilation[axis] and seen.kernel[axis] > 1)
            for axis, (stride, step) in enumerate(zip(*self.steps(seen), strict=True))
        )

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the first results of the call with the wrong steps."""
        call = builder.normalize(call)
        seen = window(call)
        if seen is None:
            return call
        strides, dilation = self.steps(seen)
        padding = [*seen.start, *seen.reach(strides, dilation)]
        moved = with_attributes(call, strides=strides, dilation=dilation, padding=padding)
        return crop(moved, static_shape(call), builder)


class SwapStrides(MoveWindow):
    """Take the stride of the height for that of the width and the other way round."""

    name = "swap-strides"
    origin = "Samsung/ONE#2727: Fix wrong stride value is passed for pooling operation"
    ops = (CONV2D, *POOLS)
    needs = "two strides that differ"

    def steps(self, seen: Window) -> Steps:
        """Return the strides swapped."""
        return (seen.strides[1], seen.strides[0]), seen.dilation

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a convolution, which reads beyond the image and does not read all of it."""
        after = """
            c = R.nn.conv2d(x, w, strides=[1, 2], padding=[0, 0, 0, 6])
            y = R.strided_slice(c, axes=[2], begin=[0], end=[4])
        """
        return [Example(graph("y = R.nn.conv2d(x, w, strides=[2, 1])", **_IMAGE), graph(after, **_IMAGE))]


class SwapStrideDilation(MoveWindow):
    """Take a convolution's stride for its dilation and the other way round."""

    name = "swap-stride-dilation"
    origin = "iree-org/iree-turbine#1223: [BOO] Swapped strides and dilations in ConvWGrad ctor"
    ops = (CONV2D,)
    needs = "stride that is not the dilation"

    def steps(self, seen: Window) -> Steps:
        """Return both swapped."""
        return seen.dilation, seen.strides

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a 3x3 kernel with stride 2."""
        after = """
            c = R.nn.conv2d(x, w, dilation=[2, 2])
            y = R.strided_slice(c, axes=[2, 3], begin=[0, 0], end=[4, 4])
        """
        return [Example(graph("y = R.nn.conv2d(x, w, strides=[2, 2])", **_IMAGE), graph(after, **_IMAGE))]


class IgnoreStride(MoveWindow):
    """Move the window by one where it should move by the stride, and keep the first results."""

    name = "ignore-stride"
    origin = "apache/tvm#4260: [TOPI] Fix bug in Winograd on CUDA"
    ops = (CONV2D, *POOLS)
    needs = "stride above 1"

    def steps(self, seen: Window) -> Steps:
        """Return strides of 1, as the Winograd schedule took them."""
        return (1, 1), seen.dilation

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a pooling."""
        after = """
            p = R.nn.max_pool2d(x, pool_size=[2, 2], strides=[1, 1])
            y = R.strided_slice(p, axes=[2, 3], begin=[0, 0], end=[4, 4])
        """
        before = "y = R.nn.max_pool2d(x, pool_size=[2, 2], strides=[2, 2])"
        return [Example(graph(before, x=(1, 2, 8, 8)), graph(after, x=(1, 2, 8, 8)))]


class IgnoreDilation(MoveWindow):
    """Convolve without the dilation, and keep the first results."""

    name = "ignore-dilation"
    origin = (
        "apache/tvm#15122: [Bugfix][Relay][Keras] Fix SeparableConv2D conversion in dilation_rate attribute"
    )
    ops = (CONV2D,)
    needs = "dilation above 1"

    def steps(self, seen: Window) -> Steps:
        """Return a dilation of 1."""
        return seen.strides, (1, 1)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a 3x3 kernel."""
        after = """
            c = R.nn.conv2d(x, w)
            y = R.strided_slice(c, axes=[2, 3], begin=[0, 0], end=[5, 5])
        """
        return [Example(graph("y = R.nn.conv2d(x, w, dilation=[2, 2])", **_IMAGE), graph(after, **_IMAGE))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per mistake."""
    return [SwapStrides, SwapStrideDilation, IgnoreStride, IgnoreDilation]
