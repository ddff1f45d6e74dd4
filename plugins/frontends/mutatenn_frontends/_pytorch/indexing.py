"""Conversions of PyTorch's indexing, whose indices may be negative, several, and apart from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import ir
from mutatenn_frontends._pytorch.arguments import arguments

if TYPE_CHECKING:
    from collections.abc import Callable


def indexing() -> dict[str, Callable[[Any, Any], Any]]:
    """Return what converts a node for an importer, by operator, as ``custom_convert_map`` wants it."""
    return {"select.int": _select, "index.Tensor": _index}


def _select(node: Any, importer: Any) -> Any:
    """Convert the choice of one place along a dimension, counted from the end where it is negative."""
    source, dim, place = arguments(node)
    value, emit = importer.env[source], importer.block_builder.emit
    sizes = [int(size) for size in value.ty.shape]
    dim %= len(sizes)
    place %= sizes[dim]
    part = emit(ir.relax.op.strided_slice(value, [dim], [place], [place + 1]))
    return emit(ir.relax.op.squeeze(part, [dim]))


def _index(node: Any, importer: Any) -> Any:
    """Convert indexing by tensors of whole numbers, which are broadcast against each other.

    Their dimensions come where the first indexed one was if all of these are neighbours, else first.
    """
    value, emit, op = importer.env[node.args[0]], importer.block_builder.emit, ir.relax.op
    sizes = [int(size) for size in value.ty.shape]
    given = {dim: each for dim, each in enumerate(node.args[1]) if each is not None}
    if any(str(importer.env[each].ty.dtype) == "bool" for each in given.values()):
        raise ValueError(given)
    places = [_counted(importer, importer.env[each], sizes[dim]) for dim, each in given.items()]
    dims = list(given)
    if len(dims) == 1:
        return emit(op.take(value, places[0], axis=dims[0], mode="clip"))
    shape = np.broadcast_shapes(*([int(size) for size in each.ty.shape] for each in places))
    listed = [emit(op.expand_dims(emit(op.broadcast_to(each, shape)), len(shape))) for each in places]
    rest = [dim for dim in range(len(sizes)) if dim not in given]
    turned = emit(op.permute_dims(value, [*dims, *rest]))
    found = emit(op.gather_nd(turned, emit(op.concat(listed, axis=len(shape)))))
    first = dims[0] if dims == list(range(dims[0], dims[-1] + 1)) else 0
    inner = [len(shape) + place for place in range(len(rest))]
    order = [*inner[:first], *range(len(shape)), *inner[first:]]
    return emit(op.permute_dims(found, order))


def _counted(importer: Any, places: Any, size: int) -> Any:
    """Return indices as int64, negative ones counted from the start."""
    emit, op = importer.block_builder.emit, ir.relax.op
    if isinstance(places, ir.tvm.ir.GenericConst):
        return ir.relax.const(places.value.numpy().astype(np.int64) % size)
    whole = places if str(places.ty.dtype) == "int64" else emit(op.astype(places, "int64"))
    zero, total = ir.relax.const(0, "int64"), ir.relax.const(size, "int64")
    return emit(op.where(emit(op.less(whole, zero)), emit(op.add(whole, total)), whole))
