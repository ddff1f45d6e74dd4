"""Runs an original on all images, as it stands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from mutatenn.border import opened
from mutatenn.engine.evaluate import Evaluator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.api.backend import Backend
    from mutatenn.api.program import Program


def run_original(
    backend: Backend, program: Program, images: NDArray[np.generic], *, backwards: bool = False
) -> tuple[NDArray[np.float32], float]:
    """Return a program's outputs, float32 ``[images, classes]``, and its wall seconds per image.

    ``backwards`` builds the kernels in another order. To be called in a process of its own.
    """
    evaluator = Evaluator(opened(backend))
    linked = evaluator.link(program, backwards=backwards)
    evaluator.output(linked, images[0])  # some devices finish building at the first call
    start = time.monotonic()
    rows = [evaluator.device.fetch(evaluator.output(linked, image)) for image in images]
    seconds = (time.monotonic() - start) / max(1, len(images))
    return np.stack(rows).reshape(len(images), -1).astype(np.float32), seconds
