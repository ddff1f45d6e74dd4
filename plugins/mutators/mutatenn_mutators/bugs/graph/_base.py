"""What the operators modelled on real bugs need to know about a call, and how they keep its type."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import GraphMutator, ir
from mutatenn_mutators._shared.calls import static_shape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

CONV2D = "relax.nn.conv2d"
POOLS = ("relax.nn.max_pool2d", "relax.nn.avg_pool2d")
_CONV2D_ATTRIBUTES = (
    "strides",
    "padding",
    "dilation",
    "groups",
    "data_layout",
    "kernel_layout",
    "out_layout",
    "out_dtype",
)
_POOL_ATTRIBUTES = (
    "pool_size",
    "strides",
    "padding",
    "dilation",
    "ceil_mode",
    "count_include_pad",
    "layout",
    "out_layout",
)


class BugMutator(GraphMutator):
    """A graph operator modelled on a bug that a compiler had; its ``origin`` cites the report."""

    groups = ("bugs",)


def integers(values: Any) -> tuple[int, ...]:
    """Return an attribute that is a list of integers."""
    return tuple(int(value) for value in values)


def with_attributes(call: Any, **changes: Any) -> Any:
    """Return a convolution or pooling with some attributes changed."""
    is_conv2d = call.op.name == CONV2D
    names = _CONV2D_ATTRIBUTES if is_conv2d else _POOL_ATTRIBUTES
    attributes = {name: _plain(getattr(call.attrs, name)) for name in names} | changes
    if is_conv2d and not attributes["out_dtype"]:
        attributes["out_dtype"] = None
    make = getattr(ir.relax.op.nn, call.op.name.rsplit(".", 1)[-1])
    return make(*call.args, **attributes)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return integers(value) if hasattr(value, "__len__") else str(value)


@attrs.frozen
class Window:
    """How a convolution or pooling moves over an image; each pair is height, width."""

    axes: tuple[int, int]
    image: tuple[int, int]
    result: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    start: tuple[int, int]
    """Rows above and columns left of the image."""
    end: tuple[int, int]
    """Rows below and columns right of the image."""

    def reach(self, strides: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
        """Return the end padding with which other strides give a result at least as large."""
        needed = [
            (size - 1) * stride + (width - 1) * step + 1
            for size, stride, width, step in zip(self.result, strides, self.kernel, dilation, strict=True)
        ]
        given = [one + other for one, other in zip(self.image, self.start, strict=True)]
        return tuple(max(end, need - have) for end, need, have in zip(self.end, needed, given, strict=True))


def window(call: Any) -> Window | None:
    """Return the window of a 2D convolution or pooling, or None where shapes are not known."""
    image, result = static_shape(call.args[0]), static_shape(call)
    is_conv2d = call.op.name == CONV2D
    layout = str(call.attrs.data_layout if is_conv2d else call.attrs.layout)
    axes = layout.find("H"), layout.find("W")
    kernel = _kernel(call) if is_conv2d else integers(call.attrs.pool_size)
    if not (image and result and kernel) or len(layout) != len(image) or str(call.attrs.out_layout) != layout:
        return None
    padding = integers(call.attrs.padding)
    return Window(
        axes,
        _pair([image[axis] for axis in axes]),
        _pair([result[axis] for axis in axes]),
        _pair(kernel),
        _pair(integers(call.attrs.strides)),
        _pair(integers(call.attrs.dilation)),
        _pair(padding[:2]),
        _pair(padding[2:]),
    )


def _kernel(call: Any) -> tuple[int, ...]:
    shape, layout = static_shape(call.args[1]), str(call.attrs.kernel_layout)
    return tuple(shape[layout.index(axis)] for axis in "HW") if len(shape) == len(layout) else ()


def _pair(values: Sequence[int]) -> tuple[int, int]:
    one, other = values
    return one, other


def crop(value: Any, shape: Sequence[int], builder: Any) -> Any:
    """Return the first elements of a value along each axis where it is larger than the shape."""
    value = builder.emit(value) if not isinstance(value, ir.relax.Var) else value
    given = static_shape(value)
    axes = [axis for axis, size in enumerate(shape) if given[axis] > size]
    if not axes:
        return value
    return ir.relax.op.strided_slice(value, axes, [0] * len(axes), [shape[axis] for axis in axes])


def fill(value: Any, shape: Sequence[int], builder: Any) -> Any:
    """Return a value with zeros after it along each axis where it is smaller than the shape."""
    value = builder.emit(value)
    widths = [
        width
        for given, size in zip(static_shape(value), shape, strict=True)
        for width in (0, max(0, size - given))
    ]
    return ir.relax.op.nn.pad(value, widths) if any(widths) else value


_BOUND: ContextVar[Mapping[Any, Any] | None] = ContextVar("bound", default=None)


class SeeingMutator(BugMutator):
    """An operator whose sites depend on what computes a call's operands."""

    def sites(self, unit: Any) -> Sequence[str]:
        """Describe each site as every graph operator does."""
        with _binding(unit):
            return super().sites(unit)

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        """Change the sites as every graph operator does."""
        with _binding(unit):
            return super().apply(unit, sites)


@contextmanager
def _binding(unit: Any) -> Iterator[None]:
    bindings: list[Any] = []
    for _, function in unit.functions_items():
        if isinstance(function, ir.relax.Function):
            ir.ffi.structural_walk(function, (ir.relax.VarBinding, bindings.append), order="pre")
    token = _BOUND.set({binding.var: binding.value for binding in bindings})
    try:
        yield
    finally:
        _BOUND.reset(token)


def producer(value: Any) -> Any:
    """Return what a :class:`SeeingMutator` sees bound to a variable of the unit; None for a parameter."""
    return (_BOUND.get() or {}).get(value) if isinstance(value, ir.relax.Var) else value
