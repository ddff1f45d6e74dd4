"""All images of a campaign, prepared: by several processors, and on disk where they are many."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import mmap
import os
import tempfile
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mutatenn.campaign.inputs.available_memory import available_memory
from mutatenn.campaign.inputs.preprocess import image_shape, preprocess
from mutatenn.errors import InputError
from mutatenn.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.api.values import TensorSpec
    from mutatenn.campaign.config.values import PreprocessSection
    from mutatenn.campaign.inputs.dataset import Dataset

    Keep = Callable[[int, NDArray[np.generic]], object]

IN_MEMORY = 2**30
"""Bytes of prepared images up to which they are kept in memory; more go into a temporary file."""
AT_ONCE = 256
"""Images that are prepared before the progress is shown."""
MOST_TOLD = 20
"""Of images that cannot be used, so many are named."""


def load_images(dataset: Dataset, section: PreprocessSection, spec: TensorSpec) -> NDArray[np.generic]:
    """Return all images, ``[images, *spec.shape[1:]]`` in the model's dtype.

    Raises InputError as :func:`preprocess`, naming all images that cannot be used, and where there is neither
    memory nor disk for them.
    """
    image_shape(section, spec)  # or what a model takes may be no image at all
    Image.init()  # which no two threads may do at once
    found: list[InputError | None] = []
    with (
        _room(len(dataset.paths), spec) as (images, keep),
        warnings.catch_warnings(),
        progress(lambda done: f"preparing images: {done} of {len(images)}") as show,
        concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        warnings.simplefilter("ignore")  # Pillow's, of odd but sound files
        read = functools.partial(_read, section, spec, keep)
        for start in range(0, len(images), AT_ONCE):
            part = range(start, min(start + AT_ONCE, len(images)))
            found += pool.map(read, part, dataset.paths[start : start + AT_ONCE])
            if len(images) > AT_ONCE:
                show(len(found))
    problems = {name: error for name, error in zip(dataset.names, found, strict=True) if error}
    if problems:
        raise _together(problems, len(images))
    return images


@contextlib.contextmanager
def _room(images: int, spec: TensorSpec) -> Iterator[tuple[NDArray[np.generic], Keep]]:
    """Yield an array for all images, and what puts one into it."""
    shape, needed = (images, *spec.shape[1:]), images * spec.nbytes
    if needed <= min(IN_MEMORY, available_memory()):
        array = np.empty(shape, spec.dtype)
        yield array, array.__setitem__
        return
    with tempfile.TemporaryFile() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            cure = "make room there, set TMPDIR to another folder, or set dataset.limit"
            size = f"{images} prepared images take {needed / 2**30:.1f} GiB"
            raise InputError(f"{size} in {tempfile.gettempdir()}: {error.strerror}; {cure}") from None
        mapped = mmap.mmap(file.fileno(), needed)
        yield (
            np.frombuffer(mapped, spec.dtype).reshape(shape),
            lambda index, image: os.pwrite(file.fileno(), image.data, index * spec.nbytes),
        )


def _read(
    section: PreprocessSection, spec: TensorSpec, keep: Keep, index: int, path: Path
) -> InputError | None:
    """Read an image and put it into its place; return what is wrong with its file."""
    try:
        keep(index, preprocess(path, section, spec))
    except InputError as error:
        if not str(error).startswith(str(path)):  # what all images would fail at
            raise
        return error
    return None


def _together(problems: dict[str, InputError], images: int) -> InputError:
    first, *rest = problems.values()
    if not rest:
        return first
    names = ", ".join(list(problems)[:MOST_TOLD])
    more = f" and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
    return InputError(f"{len(problems)} of {images} images cannot be used: {names}{more}; the first: {first}")
