"""Arrays as bytes: the content of a .npy file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def dump(array: NDArray[Any]) -> bytes:
    """Return an array as bytes; pickles nothing."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def load(content: bytes) -> NDArray[Any]:
    """Return the array that :func:`dump` wrote."""
    array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return array
