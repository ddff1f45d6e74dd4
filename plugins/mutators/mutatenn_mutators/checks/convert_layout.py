"""Computes one convolution in another layout, which must not change its result."""

from __future__ import annotations

from typing import Any, ClassVar

from mutatenn import Example, GraphMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import is_float, static_shape
from mutatenn_mutators._shared.sources import graph

Layouts = tuple[str, str]
"""Of the data, and of the kernel."""


class ConvertLayout(GraphMutator):
    """Compute a convolution in another layout: transpose what it reads, and its result back.

    The same sums in another order: a check of the compiler, not a fault. Mutants that are noticed beyond the
    rounding of floats are wrong code.
    """

    ops = ("relax.nn.conv2d",)
    old: ClassVar[Layouts]
    new: ClassVar[Layouts]

    def matches(self, call: Any) -> bool:
        """Accept convolutions of floats in the old layout."""
        attrs = call.attrs
        layouts = str(attrs.data_layout), str(attrs.kernel_layout), str(attrs.out_layout)
        shaped = bool(static_shape(call.args[0]) and static_shape(call.args[1]))
        return layouts == (*self.old, self.old[0]) and is_float(call.args[0]) and shaped

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the convolution between transpositions."""
        permute = ir.relax.op.permute_dims
        orders = [_order(old, new) for old, new in zip(self.old, self.new, strict=True)]
        operands = [builder.emit(permute(*each)) for each in zip(call.args, orders, strict=True)]
        attrs = call.attrs
        convolution = ir.relax.op.nn.conv2d(
            *operands,
            strides=[int(stride) for stride in attrs.strides],
            padding=[int(padding) for padding in attrs.padding],
            dilation=[int(dilation) for dilation in attrs.dilation],
            groups=int(attrs.groups),
            data_layout=self.new[0],
            kernel_layout=self.new[1],
            out_layout=self.new[0],
            out_dtype=str(attrs.out_dtype) if attrs.out_dtype else None,
        )
        return permute(builder.emit(convolution), _order(self.new[0], self.old[0]))


class ConvertLayoutToNhwc(ConvertLayout):
    """Compute an NCHW convolution in NHWC, between transpositions, for the same result."""

    name = "convert-layout-to-nhwc"
    old = ("NCHW", "OIHW")
    new = ("NHWC", "OHWI")
    needs = "convolution in NCHW"

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one layer."""
        after = """
            t = R.permute_dims(x, [0, 2, 3, 1])
            k = R.permute_dims(w, [0, 2, 3, 1])
            c = R.nn.conv2d(t, k, data_layout="NHWC", kernel_layout="OHWI", out_dtype="float32")
            y = R.permute_dims(c, [0, 3, 1, 2])
        """
        before = 'y = R.nn.conv2d(x, w, out_dtype="float32")'
        shapes: dict[str, tuple[int, ...]] = {"x": (1, 3, 8, 8), "w": (4, 3, 3, 3)}
        return [Example(graph(before, **shapes), graph(after, **shapes))]


class ConvertLayoutToNchw(ConvertLayout):
    """Compute an NHWC convolution in NCHW, between transpositions, for the same result."""

    name = "convert-layout-to-nchw"
    old = ("NHWC", "OHWI")
    new = ("NCHW", "OIHW")
    needs = "convolution in NHWC"

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one layer."""
        after = """
            t = R.permute_dims(x, [0, 3, 1, 2])
            k = R.permute_dims(w, [0, 3, 1, 2])
            c = R.nn.conv2d(t, k, out_dtype="float32")
            y = R.permute_dims(c, [0, 2, 3, 1])
        """
        before = 'y = R.nn.conv2d(x, w, data_layout="NHWC", kernel_layout="OHWI", out_dtype="float32")'
        shapes: dict[str, tuple[int, ...]] = {"x": (1, 8, 8, 3), "w": (4, 3, 3, 3)}
        return [Example(graph(before, **shapes), graph(after, **shapes))]


def _order(old: str, new: str) -> list[int]:
    return [old.index(axis) for axis in new]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per direction."""
    return [ConvertLayoutToNhwc, ConvertLayoutToNchw]
