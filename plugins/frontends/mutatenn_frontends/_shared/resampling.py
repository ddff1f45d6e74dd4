"""Resampling as what it is along one axis: every new value a weighted sum of the old ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import ir

if TYPE_CHECKING:
    from numpy.typing import NDArray


def is_choice(weights: NDArray[np.floating[Any]]) -> bool:
    """Tell whether every new value is one of the old ones."""
    return np.array_equal(weights, np.eye(weights.shape[1])[np.argmax(weights, axis=1)])


def resampled(builder: Any, value: Any, axis: int, weights: NDArray[np.floating[Any]]) -> Any:
    """Return a Relax value whose elements along an axis are put together anew.

    ``weights`` is ``[after, before]``: how much of each old one goes into each new one. Values are chosen,
    where that is all there is to do, else multiplied by a constant matrix of their own dtype.
    """
    relax, last = ir.relax, len(value.ty.shape) - 1
    if is_choice(weights):
        chosen = np.argmax(weights, axis=1)
        if list(chosen) == list(range(weights.shape[1])):
            return value
        return builder.normalize(relax.op.take(value, relax.const(chosen), axis=axis))
    matrix = np.ascontiguousarray(weights).astype(str(value.ty.dtype))
    if axis == last - 1:
        return builder.normalize(relax.op.matmul(relax.const(matrix), value))
    turn = [*range(axis), *range(axis + 1, last + 1), axis]
    turned = value if axis == last else builder.normalize(relax.op.permute_dims(value, turn))
    product = builder.normalize(relax.op.matmul(turned, relax.const(np.ascontiguousarray(matrix.T))))
    back = [*range(axis), last, *range(axis, last)]
    return product if axis == last else builder.normalize(relax.op.permute_dims(product, back))
