"""What images a run lacks: told by those that came nearest to noticing its survivors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from PIL import Image

from mutatenn.analysis.images.pictures import image_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mutatenn.analysis.images.worth import Survivor
    from mutatenn.results.run import Run

FEWEST, MOST = 4, 400
"""Images that a comparison of brightness needs, and that it reads."""
HALF = (25.0, 75.0)


@attrs.frozen
class Border:
    """A border between two classes near which images are missing.

    ``survivors`` counts the mutants that came nearest to being noticed on an image of output ``label`` whose
    second is ``other``; ``images`` are those, the one that lost most of its margin first.
    """

    label: int
    other: int
    survivors: int
    images: tuple[str, ...]


@attrs.frozen
class Brightness:
    """How bright the nearest images are in the middle, beside half of all; grey levels 0 to 255."""

    nearest: float
    low: float
    high: float


def borders(run: Run, environment: str, survivors: Sequence[Survivor]) -> list[Border]:
    """Return where images are missing, most survivors first; those that no image came near have no say."""
    if not survivors:
        return []
    names = {name: index for index, name in enumerate(run.image_names)}
    outputs = run.outputs(environment, None)
    found: dict[tuple[int, int], list[Survivor]] = {}
    for each in survivors:
        if each.image is not None and outputs.shape[1] > 1:
            other, label = np.argsort(outputs[names[each.image]], kind="stable")[-2:]
            found.setdefault((int(label), int(other)), []).append(each)
    every = [
        Border(*pair, len(near), tuple(dict.fromkeys(str(each.image) for each in near)))
        for pair, near in found.items()
    ]
    return sorted(every, key=lambda border: -border.survivors)


def brightness(run: Run, survivors: Sequence[Survivor]) -> Brightness | None:
    """Return how bright the nearest images are, where they are apart from half of all.

    None where they are not, are too few, or the files are no longer there, or no images.
    """
    try:
        paths = image_files(run)
        nearest = sorted({each.image for each in survivors if each.image in paths})
        if len(nearest) < FEWEST:
            return None
        usual = [_grey(path) for path in list(paths.values())[:: max(1, len(paths) // MOST)]]
        middle = float(np.median([_grey(paths[name]) for name in nearest[:MOST]]))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    low, high = map(float, np.percentile(usual, HALF))
    return None if low <= middle <= high else Brightness(middle, low, high)


def _grey(path: Path) -> float:
    """Return the mean grey level of an image; raises OSError or ValueError for a file that is none."""
    with Image.open(path) as image:
        return float(np.asarray(image.convert("L"), np.float64).mean())
