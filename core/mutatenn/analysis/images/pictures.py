"""The image files of a run, and small pictures of them."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from mutatenn.campaign.config.load import load_dataset
from mutatenn.campaign.inputs.dataset import open_dataset
from mutatenn.campaign.inputs.decode import decoded
from mutatenn.errors import InputError
from mutatenn.results.run import CAMPAIGN_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mutatenn.results.run import Run

QUALITY = 60


def image_files(run: Run) -> dict[str, Path]:
    """Return the files of a run's images by name; none of those that are gone, nor where they are told."""
    try:
        dataset = open_dataset(load_dataset(run.directory / CAMPAIGN_FILE))
    except (InputError, OSError):
        return {}
    return dict(zip(dataset.names, dataset.paths, strict=True))


def thumbnails(run: Run, names: Iterable[str], side: int = 64) -> dict[str, bytes]:
    """Return small pictures (WebP) of images of a run, by name, at most so many pixels high and wide.

    Left out are those whose files are gone, are no longer what they were, or hold no pixels.
    """
    files, digests = image_files(run), {image.name: image.digest for image in run.images}
    found = {name: _thumbnail(files[name], digests[name], side) for name in names if name in files}
    return {name: picture for name, picture in found.items() if picture is not None}


def _thumbnail(path: Path, digest: str, side: int) -> bytes | None:
    try:
        same = hashlib.sha256(path.read_bytes()).hexdigest() == digest
        return _small(path, side) if same else None
    except (InputError, OSError, ValueError):
        return None


def _small(path: Path, side: int) -> bytes:
    picture = decoded(path, "RGB", exif=True)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()
