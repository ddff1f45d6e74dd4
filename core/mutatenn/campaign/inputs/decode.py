"""From an image file to Pillow's image: eight bits per channel, upright, without transparency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from mutatenn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# Named, because Pillow would otherwise hand some files (EPS) to other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
LARGEST_FILE = 2**29  # bytes; so many pixels as Pillow decodes take no more, not even uncompressed
WIDE = {"I": 32, "F": 32}
"""Bits per channel of Pillow's modes, where they are not in the name."""


def decoded(path: Path, mode: str, *, exif: bool) -> Image.Image:
    """Return the image in Pillow's ``mode``, turned as its EXIF orientation says where ``exif`` counts.

    Raises InputError for a file that is not an intact 8-bit image.
    """
    try:
        check_size(path)
        with Image.open(path, formats=FORMATS) as image:
            _check_pixels(path, image)
            _check_depth(path, image)
            return (_turned(image) if exif else image).convert(mode)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many(path, str(error)) from None
    # A damaged file makes Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        known = ", ".join(FORMATS)
        raise InputError(
            f"{path}: not an intact image ({known}): {reason}; replace it or leave it out"
        ) from error


def check_size(path: Path) -> None:
    """Raise InputError for a file that is too large to be one image."""
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(f"{path}: larger than {LARGEST_FILE >> 20} MiB; replace it or leave it out")


def _check_pixels(path: Path, image: Image.Image) -> None:
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise _too_many(path, f"{image.width}x{image.height}")


def _too_many(path: Path, how_many: str) -> InputError:
    return InputError(f"{path}: too many pixels to be decoded safely; scale it down ({how_many})")


def _check_depth(path: Path, image: Image.Image) -> None:
    bits = _bits(image)
    if bits > 8:  # noqa: PLR2004
        raise InputError(
            f"{path}: more than 8 bits per channel ({bits}, mode {image.mode}); convert it to 8 bits"
        )


def _bits(image: Image.Image) -> int:
    """Return the bits per channel in the file, which Pillow's mode of a coloured image does not tell."""
    tiles: Any = getattr(image, "tile", ())  # what Pillow decodes a file from
    raw = [str(value) for tile in tiles for value in (tile[3] if isinstance(tile[3], tuple) else (tile[3],))]
    if any(";16" in each for each in (image.mode, *raw)):
        return 16
    if image.format == "PPM" and any(each.isdigit() and int(each) > 255 for each in raw):  # noqa: PLR2004
        return 16
    return WIDE.get(image.mode[:1], 8)


def _turned(image: Image.Image) -> Image.Image:
    """Return the image as its EXIF block says; a damaged one says nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # of the block, or of the pixels, which will show
        return image
