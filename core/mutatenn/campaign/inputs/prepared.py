"""Images that are prepared already: arrays in files of NumPy, taken as they are."""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from mutatenn.campaign.inputs.decode import LARGEST_FILE, check_size
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.api.values import TensorSpec

SUFFIXES = (".npy", ".npz")


def is_prepared(path: Path) -> bool:
    """Whether a file is an array of NumPy, by its name."""
    return path.suffix.lower() in SUFFIXES


def prepared(path: Path, spec: TensorSpec) -> NDArray[np.generic]:
    """Return the array of a file, the model's input without the batch axis: ``spec.shape[1:]``, its dtype.

    The file holds one array of that shape, axes of one aside, or of one axis, whose values the model's dtype
    can take: the same kind, or one that loses nothing. Raises InputError for any other.
    """
    try:
        check_size(path)
        array = _only(path)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not an intact array of NumPy: {reason}; save it by numpy.save") from error
    wanted = spec.shape[1:]
    alike = [side for side in array.shape if side > 1] == [side for side in wanted if side > 1]
    if not (alike or array.shape == (math.prod(wanted),)):
        raise InputError(f"{path}: shape {array.shape}, the model takes {wanted}; {_cure(array, wanted)}")
    if not (np.can_cast(array.dtype, spec.dtype, "safe") or array.dtype.kind == np.dtype(spec.dtype).kind):
        raise InputError(f"{path}: {array.dtype}, the model takes {spec.dtype}; save it as that")
    values = array.reshape(wanted).astype(spec.dtype)
    if array.dtype.kind in "iu" and np.any(values != array.reshape(wanted)):
        raise InputError(f"{path}: its numbers are out of the range of {spec.dtype}; save it as that")
    return values


def _only(path: Path) -> NDArray[np.generic]:
    """Return the one array of a file; raises ValueError for one that holds several, or objects."""
    found = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped, it cannot claim more than it has
    if isinstance(found, np.ndarray):
        return found
    with found:
        if len(found.files) != 1:
            raise ValueError(f"it holds {len(found.files)} arrays, {', '.join(found.files[:5])}, not one")
        if sum(entry.file_size for entry in found.zip.infolist()) > LARGEST_FILE:
            raise ValueError(f"it unpacks to more than {LARGEST_FILE >> 20} MiB")
        return np.asarray(found[found.files[0]])


def _cure(array: NDArray[np.generic], wanted: tuple[int, ...]) -> str:
    if array.shape[1:] == wanted:
        return (
            "save each image in a file of its own: for i, x in enumerate(images): np.save(f'{i:05}.npy', x)"
        )
    return "save the array that the model is given, without the batch axis"
