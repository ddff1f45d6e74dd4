"""Converts operators of TFLite that TVM's importer makes something else of, or nothing that compiles.

Whatever it cannot convert is named.
"""

from __future__ import annotations

import math
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import InputError, ir
from mutatenn_frontends._shared.resampling import resampled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CURE = "convert it with batch 1 and fixed shapes, in inference mode, or with other operators in its place"
HEIGHT, WIDTH = 1, 2
"""Their places in an image's shape."""

_Converter: Any = object


class Forms(_Converter):  # type: ignore[misc]  # TVM is not typed
    """Mixed into TVM's converter."""

    convert_map: dict[str, Callable[..., Any]]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.convert_map = {name: partial(self._named, name, each) for name, each in self.convert_map.items()}

    def _named(self, name: str, convert: Callable[..., Any], op: Any) -> Any:
        """Return what a conversion does; raises InputError for what it cannot."""
        outputs = self.get_output_tensors(op)
        label = f" (output {outputs[0].tensor.Name().decode(errors='replace')!r})" if outputs else ""
        try:
            found = convert(op=op)
            found = found if found is None else self.bb.normalize(found)
        except InputError:
            raise
        except Exception as error:  # whatever a conversion may raise
            raise InputError(f"has an operator {name}{label} that cannot be imported; {CURE}") from error
        if getattr(getattr(found, "op", None), "name", "") == "relax.call_dps_packed":  # nothing to compile
            raise InputError(f"has an operator {name}{label} that cannot be compiled; {CURE}")
        if len(outputs) == 1 and not _is_as_told(found, outputs[0].tensor):
            raise InputError(
                f"has an operator {name}{label}, whose result the importer gives another size; {CURE}"
            )
        return found

    def convert_transpose_conv(self, op: Any) -> Any:
        """Convert TRANSPOSE_CONV, which TVM computes of channels first alone."""
        nn = ir.relax.op.nn
        theirs = nn.conv2d_transpose
        nn.conv2d_transpose = partial(_channels_first, theirs)
        try:
            return super().convert_transpose_conv(op)
        finally:
            nn.conv2d_transpose = theirs

    def convert_gather_nd(self, op: Any) -> Any:
        """Convert GATHER_ND: the last dimension of the indices is a place."""
        data, indices = map(self.get_tensor_expr, self.get_input_tensors(op))
        return ir.relax.op.gather_nd(data, ir.relax.op.astype(indices, "int64"))

    def convert_space_to_batch_nd(self, op: Any) -> Any:
        """Convert SPACE_TO_BATCH_ND: pixels of one place in their block become one image of the batch."""
        source, block, paddings = self._blocks(op)
        data, around = self.get_tensor_expr(source), [0, 0, *paddings.ravel().tolist()]
        rest = len(self._sizes(data)) - 1 - len(block)
        data = ir.relax.op.nn.pad(data, [*around, *[0] * (2 * rest)]) if paddings.any() else data
        batch, *sizes = self._sizes(data)
        split = [part for size, step in zip(sizes, block, strict=False) for part in (size // step, step)]
        parts = ir.relax.op.reshape(data, [batch, *split, *sizes[len(block) :]])
        steps, counts = ([2 * place + first for place in range(len(block))] for first in (2, 1))
        last = [*range(2 * len(block) + 1, 2 * len(block) + 1 + rest)]
        turned = ir.relax.op.permute_dims(parts, [*steps, 0, *counts, *last])
        smaller = [size // step for size, step in zip(sizes, block, strict=False)]
        return ir.relax.op.reshape(turned, [batch * math.prod(block), *smaller, *sizes[len(block) :]])

    def convert_batch_to_space_nd(self, op: Any) -> Any:
        """Convert BATCH_TO_SPACE_ND: the images of a batch become pixels of blocks, then a margin is cut."""
        source, block, crops = self._blocks(op)
        data = self.get_tensor_expr(source)
        batch, *sizes = self._sizes(data)
        count, whole = len(block), batch // math.prod(block)
        parts = ir.relax.op.reshape(data, [*block, whole, *sizes])
        pairs = [axis for place in range(count) for axis in (count + 1 + place, place)]
        last = [*range(2 * count + 1, count + 1 + len(sizes))]
        turned = ir.relax.op.permute_dims(parts, [count, *pairs, *last])
        larger = [size * step for size, step in zip(sizes, block, strict=False)]
        result = ir.relax.op.reshape(turned, [whole, *larger, *sizes[count:]])
        ends = [size - int(after) for size, after in zip(larger, crops[:, 1], strict=True)]
        return ir.relax.op.strided_slice(result, [*range(1, count + 1)], crops[:, 0].tolist(), ends)

    def _blocks(self, op: Any) -> tuple[Any, list[int], NDArray[np.int64]]:
        """Return the input of an operator on blocks, their sizes, and what is put around or cut off."""
        source, block, margins = self.get_input_tensors(op)
        steps = [int(step) for step in np.ravel(self.get_tensor_value(block))]
        return source, steps, np.asarray(self.get_tensor_value(margins), np.int64).reshape(-1, 2)

    def _sizes(self, value: Any) -> list[int]:
        return [int(size) for size in self.bb.normalize(value).ty.shape]

    def _convert_resize(self, method: str, op: Any) -> Any:
        """Convert RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR; those with aligned corners as TFLite does."""
        kind = "ResizeBilinearOptions" if method == "linear" else "ResizeNearestNeighborOptions"
        options, given = getattr(import_module("tflite"), kind)(), op.BuiltinOptions()
        options.Init(given.Bytes, given.Pos)
        source, size = self.get_input_tensors(op)
        if not options.AlignCorners():
            return super()._convert_resize(method, op)
        image = self.bb.normalize(self.get_tensor_expr(source))
        for axis, after in zip((HEIGHT, WIDTH), np.ravel(self.get_tensor_value(size)), strict=True):
            weights = _aligned(int(image.ty.shape[axis]), int(after), nearest=method != "linear")
            image = resampled(self.bb, image, axis, weights)
        return image


def _is_as_told(found: Any, tensor: Any) -> bool:
    """Tell whether a result has as many numbers as the file says, where it says so."""
    kind, told = getattr(found, "ty", None), np.ravel(tensor.ShapeAsNumpy() if tensor.ShapeLength() else [])
    if not isinstance(kind, ir.relax.TensorType) or not isinstance(kind.shape, ir.relax.ShapeExpr):
        return True
    sizes = [int(size) for size in kind.shape if isinstance(size, ir.tirx.IntImm)]
    known = len(sizes) == len(kind.shape) and bool((told > 0).all())
    return not known or math.prod(sizes) == int(np.prod(told))


def _channels_first(convolve: Any, data: Any, weight: Any, **options: Any) -> Any:
    """Return a transposed convolution of channels last."""
    turn = ir.relax.op.permute_dims
    result = convolve(turn(data, (0, 3, 1, 2)), weight, **{**options, "data_layout": "NCHW"})
    return turn(result, (0, 2, 3, 1))


def _aligned(before: int, after: int, *, nearest: bool) -> NDArray[np.float32]:
    """Return ``[after, before]``: how much of each old row goes into each new one, corners on corners.

    In float32, as TFLite's kernels reckon.
    """
    scale = np.float32(before - 1) / np.float32(after - 1) if after > 1 else np.float32(before) / after
    places = np.arange(after, dtype=np.float32) * np.float32(scale)
    weights, rows = np.zeros((after, before), np.float32), np.arange(after)
    if nearest:
        weights[rows, np.minimum(np.floor(places + np.float32(0.5)).astype(int), before - 1)] = 1
        return weights
    lower = np.minimum(np.floor(places).astype(int), before - 1)
    share = places - np.floor(places)
    weights[rows, lower] = 1 - share
    weights[rows, np.minimum(lower + 1, before - 1)] += share
    return weights
