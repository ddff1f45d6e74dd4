"""Puts together what a framework computed image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def stacked(outputs: Iterable[NDArray[Any]], classes: int) -> NDArray[np.float32]:
    """Return the scores, float32 ``[images, scores]``, in as many columns as the framework gives.

    That may be another number than the importer's, ``classes``, which is the number where there is no image.
    Raises InputError for outputs of different sizes.
    """
    rows = [np.ravel(output) for output in outputs]
    if not rows:
        return np.empty((0, classes), np.float32)
    sizes = sorted({row.size for row in rows})
    if len(sizes) > 1:
        raise InputError(
            f"gives {sizes[0]} scores for one image and {sizes[-1]} for another; fix their number"
        )
    return np.stack(rows).astype(np.float32)
