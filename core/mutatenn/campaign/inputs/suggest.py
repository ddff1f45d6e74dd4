"""What a folder of images looks like: which files are the images, and where their true classes stand."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mutatenn.campaign.config.values import DatasetSection
from mutatenn.campaign.inputs.dataset import open_dataset
from mutatenn.campaign.inputs.prepared import SUFFIXES
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mutatenn.campaign.config.values import Truth


def patterns(place: str) -> list[str]:
    """Return patterns of the images in a folder, or in the folders in it; of what is no folder, itself.

    Raises InputError for a folder without images.
    """
    folder = os.path.expanduser(place)
    if not os.path.isdir(folder):
        return [place]
    for depth in ("", "*/"):
        found = _suffixes(glob.iglob(f"{glob.escape(folder)}/{depth}*"))
        if found:
            return [f"{place.rstrip('/')}/{depth}*{suffix}" for suffix in found]
    raise InputError(f"{place}: no images in this folder; give another, or a pattern such as 'photos/*.jpg'")


def _suffixes(paths: Iterable[str]) -> list[str]:
    """Return the suffixes of image files, the most frequent first."""
    from PIL import Image

    known = {*Image.registered_extensions(), *SUFFIXES}
    found = [Path(path).suffix for path in paths if os.path.isfile(path)]
    there = [suffix for suffix in found if suffix.lower() in known]
    return sorted(dict.fromkeys(there), key=lambda suffix: -there.count(suffix))


def truth(images: Sequence[str], classes: int | None) -> Path | Truth | None:
    """Return where the true classes of images stand, given as absolute patterns, None where that is not told.

    They may stand in the names of files (``7_cat.png``), in the names of several folders, or in a CSV file
    beside the images or above them, and must be classes of the model where their number is known.
    """
    try:
        paths = open_dataset(DatasetSection(tuple(images))).paths
    except InputError:
        return None
    for candidate in _candidates({path.parent for path in paths}):
        try:
            found = open_dataset(DatasetSection(tuple(images), candidate)).truth or ()
        except InputError:
            continue
        if len({*found}) > 1 and (classes is None or max(found) < classes):
            return candidate
    return None


def _candidates(folders: set[Path]) -> Iterator[Path | Truth]:
    yield "filename-prefix"
    if len(folders) > 1:
        yield "folder"
    places = sorted({*folders, *(folder.parent for folder in folders)})
    for place in places:
        yield from sorted(place.glob("*.csv"))
