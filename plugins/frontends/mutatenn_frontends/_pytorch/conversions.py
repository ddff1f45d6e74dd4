"""Conversions of single PyTorch operators that TVM's importer has not, or makes something else of."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mutatenn import ir
from mutatenn_frontends._pytorch.arguments import arguments
from mutatenn_frontends._pytorch.arithmetic import arithmetic
from mutatenn_frontends._pytorch.indexing import indexing
from mutatenn_frontends._shared.resampling import resampled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

HEIGHT, WIDTH = 2, 3
"""Their places in an image's shape."""
CHUNK = 64
"""Rows of a resampling that are computed at a time."""
THEIRS = {
    "upsample_nearest2d.vec": "_upsample_nearest2d",
    "upsample_bilinear2d.vec": "_upsample_bilinear2d",
    "upsample_bicubic2d.vec": "_upsample_bicubic2d",
    "_upsample_bilinear2d_aa.default": "_upsample_bilinear2d_aa",
}
"""The importer's methods for resamplings, by operator; it leaves antialiasing out, and takes no scales."""
OURS = ("_upsample_bicubic2d_aa.default",)


def conversions() -> dict[str, Callable[[Any, Any], Any]]:
    """Return what converts a node for an importer, by operator, as ``custom_convert_map`` wants it."""
    resamplings = dict.fromkeys((*THEIRS, *OURS), _resample)
    return {"avg_pool2d.default": _avg_pool2d, **resamplings, **arithmetic(), **indexing()}


def _avg_pool2d(node: Any, importer: Any) -> Any:
    """Convert AvgPool2d, ``divisor_override`` included: sums over windows, zeros around the image."""
    _, size, stride, padding, _, _, divisor = arguments(node)
    if divisor is None:
        return importer._avg_pool2d(node)
    size, padding = _pair(size), _pair(padding)
    stride = _pair(stride or size)
    image = importer.env[node.args[0]]
    after = [
        max((out - 1) * step + window - length - before, 0)
        for out, step, window, length, before in zip(
            node.meta["val"].shape[-2:], stride, size, _sizes(image)[-2:], padding, strict=True
        )
    ]
    rest = [0] * (2 * len(_sizes(image)) - 4)
    around = [*rest, padding[0], after[0], padding[1], after[1]]
    padded = importer.block_builder.emit(ir.relax.op.nn.pad(image, around)) if any(around) else image
    mean = importer._avg_pool2d_impl(padded, size, stride, 0)
    factor = ir.relax.const(math.prod(size) / divisor, str(image.ty.dtype))
    return importer.block_builder.emit(ir.relax.op.multiply(mean, factor))


def _resample(node: Any, importer: Any) -> Any:
    """Convert a change of an image's height and width, whatever its filter: both are linear."""
    image = importer.env[node.args[0]]
    if _is_as_theirs(node, _sizes(image)[2:]):
        return getattr(importer, THEIRS[node.target.__name__])(node)
    for axis in (HEIGHT, WIDTH):
        weights = _weights(node, _sizes(image)[axis], axis)
        image = importer.block_builder.emit(resampled(importer.block_builder, image, axis, weights))
    return image


def _is_as_theirs(node: Any, before: Sequence[int]) -> bool:
    """Tell whether the importer's own conversion of a resampling computes the same."""
    after, given = node.meta["val"].shape[2:], arguments(node)
    scales = [each for values in given[2:] for each in _listed(values) if isinstance(each, float)]
    if any(size * scale != out for size, scale, out in zip(before, scales, after, strict=False)):
        return False
    name = node.target.__name__
    if "nearest" in name:
        return all(out % size == 0 for size, out in zip(before, after, strict=True))
    larger = all(out >= size for size, out in zip(before, after, strict=True))
    return name in THEIRS and ("_aa" not in name or (larger and not given[2]))


def _weights(node: Any, length: int, axis: int) -> NDArray[np.float32]:
    """Return ``[after, before]``: how much of each row, or column, goes into each of the result's.

    PyTorch says it, of images that are one in a single row and zero in all others.
    """
    torch = import_module("torch")
    height, width = node.args[0].meta["val"].shape[2:]
    found = []
    for rows in torch.eye(length).split(CHUNK):
        ones = rows[:, :, None] if axis == HEIGHT else rows[:, None, :]
        images = ones.expand(-1, height, width)[None].contiguous()
        (result,) = node.target(images, *node.args[1:], **node.kwargs)
        found.append(result[:, :, 0] if axis == HEIGHT else result[:, 0, :])
    weights: NDArray[np.float32] = torch.cat(found).T.contiguous().numpy()
    return weights


def _sizes(value: Any) -> list[int]:
    return [int(size) for size in value.ty.shape]


def _pair(value: Any) -> list[int]:
    listed = _listed(value)
    return listed * 2 if len(listed) == 1 else listed


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
