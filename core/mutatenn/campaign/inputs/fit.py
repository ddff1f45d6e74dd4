"""How an image is scaled and cut to the size that a model takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mutatenn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.campaign.config.values import PreprocessSection

Size = tuple[int, int]
"""Height and width, in pixels."""
WEIGHT_BITS = 11
"""OpenCV weighs pixels of 8 bits by multiples of 2 ** -11."""


def fitted(image: Image.Image, path: Path, section: PreprocessSection, size: Size) -> Image.Image:
    """Return the image cut to ``central_fraction``, scaled to ``resize`` as ``fit`` says, cut to ``crop``.

    ``size`` is the model's, which stands for what the section leaves open; the result may have another one
    where the section gives one. Raises InputError for an image that is too large, or too small for the crop.
    """
    if section.central_fraction is not None:
        image = _middle(image, section.central_fraction)
    target = _target(image, section, size)
    if target is not None:
        scale = _padded if section.fit == "pad" else _scaled
        image = scale(image, path, target, section)
    crop = section.crop or (size if section.resize is None else None)
    return image if crop is None else _cropped(image, path, crop)


def _target(image: Image.Image, section: PreprocessSection, size: Size) -> Size | None:
    """Return the size that the image is scaled to, or into; None if it is taken as it is."""
    resize, wanted = section.resize, section.crop or size
    if resize is None and section.fit is None and (section.crop or (image.height, image.width) == size):
        return None
    if isinstance(resize, tuple):
        return resize
    if section.fit in ("stretch", "pad"):
        return (resize, resize) if resize else wanted
    return _by_shorter_side(image, resize or max(wanted))


def _by_shorter_side(image: Image.Image, shorter: int) -> Size:
    """Return the size with a shorter side of so many pixels; the longer one loses its fraction."""
    longer = int(shorter * max(image.size) / min(image.size))
    return (longer, shorter) if image.width <= image.height else (shorter, longer)


def _middle(image: Image.Image, fraction: float) -> Image.Image:
    """Return the middle of an image, as TensorFlow's ``tf.image.central_crop`` cuts it."""
    left, top = (int((side - side * fraction) / 2) for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))


def _cropped(image: Image.Image, path: Path, crop: Size) -> Image.Image:
    height, width = crop
    if image.width < width or image.height < height:
        have, want = (f"{high}x{wide}" for high, wide in ((image.height, image.width), crop))
        raise InputError(
            f"{path}: {have} is smaller than the crop {want}; set preprocess.resize = {max(crop)} or more"
        )
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _padded(image: Image.Image, path: Path, box: Size, section: PreprocessSection) -> Image.Image:
    """Return the whole image in the middle of a box of one colour, as Pillow's ``ImageOps.pad`` does it."""
    height, width = box
    if image.width * height > image.height * width:
        size = (max(1, round(image.height / image.width * width)), width)
    else:
        size = (height, max(1, round(image.width / image.height * height)))
    scaled = _scaled(image, path, size, section)
    padded = Image.new(image.mode, (width, height), (section.fill,) * len(image.getbands()))
    padded.paste(scaled, (round((width - scaled.width) / 2), round((height - scaled.height) / 2)))
    return padded


def _scaled(image: Image.Image, path: Path, size: Size, section: PreprocessSection) -> Image.Image:
    height, width = size
    if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise InputError(f"{path}: {width}x{height} pixels after resizing are too many; crop the file")
    if not section.antialias:
        return Image.fromarray(_interpolated(np.asarray(image), size))
    return image.resize((width, height), Image.Resampling[section.resample.upper()])


def _interpolated(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return the pixels between which OpenCV's ``INTER_LINEAR`` interpolates, rounded as there, bit for bit.

    Each is of the four nearest ones, however much the image shrinks (``resize.cpp``: weights of 11 bits,
    rows of 32 bits whose last four are dropped).
    """
    wide, tall = [-1, *[1] * (pixels.ndim - 2)], [-1, *[1] * (pixels.ndim - 1)]
    values = pixels.astype(np.int64)
    left, right = (values[:, at] * weights.reshape(wide) for at, weights in _taps(pixels.shape[1], size[1]))
    rows = (left + right) >> 4
    above, below = (rows[at] * weights.reshape(tall) >> 16 for at, weights in _taps(pixels.shape[0], size[0]))
    return ((above + below + 2) >> 2).astype(np.uint8)


def _taps(pixels: int, wanted: int) -> list[tuple[NDArray[np.intp], NDArray[np.int64]]]:
    """Return the two pixels of an axis, and their weights, of which each of the wanted ones is made."""
    places = ((np.arange(wanted) + 0.5) * (1 / (wanted / pixels)) - 0.5).astype(np.float32)
    first = np.floor(places).astype(np.intp)
    share = places - first.astype(np.float32)
    weights = ((np.float32(1) - share, 0), (share, 1))
    return [
        ((first + step).clip(0, pixels - 1), np.rint(weight * np.float32(2**WEIGHT_BITS)).astype(np.int64))
        for weight, step in weights
    ]
