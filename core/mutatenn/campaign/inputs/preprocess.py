"""From an image file to the model's input: decode, resize, crop, normalise, lay out."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.campaign.inputs.available_memory import available_memory
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image

    from mutatenn.api.values import TensorSpec
    from mutatenn.campaign.config.values import Channels, Layout, PreprocessSection
    from mutatenn.campaign.inputs.dataset import Dataset

# Named, because Pillow would otherwise hand some files (EPS) to other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
LARGEST_FILE = 2**29  # bytes; so many pixels as Pillow decodes take no more, not even uncompressed
MODES = {1: "L", 3: "RGB"}
MOST_TOLD = 20
"""Of images that cannot be used, so many are named."""
WIDE = {"I": 32, "F": 32}
"""Bits per channel of Pillow's modes, where they are not in the name."""


def load_images(dataset: Dataset, section: PreprocessSection, spec: TensorSpec) -> NDArray[np.generic]:
    """Return all images, ``[images, *spec.shape[1:]]`` in the model's dtype; raises as :func:`preprocess`."""
    image_shape(section, spec)  # or what a model takes may be no image at all
    needed, room = len(dataset.paths) * spec.nbytes, available_memory()
    if needed > room:
        taken = f"{len(dataset.paths)} images of {_by(spec.shape)} take {needed / 2**30:.1f} GiB"
        raise InputError(f"{taken}, {room / 2**30:.1f} GiB are available; set dataset.limit")
    images = np.empty((len(dataset.paths), *spec.shape[1:]), spec.dtype)
    found = [_read(path, section, spec, row) for path, row in zip(dataset.paths, images, strict=True)]
    problems = {name: error for name, error in zip(dataset.names, found, strict=True) if error}
    if problems:
        raise _together(problems, len(images))
    return images


def _together(problems: dict[str, InputError], images: int) -> InputError:
    first, *rest = problems.values()
    if not rest:
        return first
    names = ", ".join(list(problems)[:MOST_TOLD])
    more = f" and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
    return InputError(f"{len(problems)} of {images} images cannot be used: {names}{more}; the first: {first}")


def _read(
    path: Path, section: PreprocessSection, spec: TensorSpec, row: NDArray[np.generic]
) -> InputError | None:
    """Read an image into a row of all; return what is wrong with its file."""
    try:
        row[...] = preprocess(path, section, spec)
    except InputError as error:
        if not str(error).startswith(str(path)):  # what all images would fail at
            raise
        return error
    return None


def preprocess(path: Path, section: PreprocessSection, spec: TensorSpec) -> NDArray[np.generic]:
    """Return one image as the model's input, without the batch axis: ``spec.shape[1:]``, the model's dtype.

    The image is turned as its EXIF orientation says, where that counts, loses its transparency, becomes RGB
    or greyscale, is scaled until its shorter side is ``resize`` pixels, cut to ``crop`` around its centre,
    and normalised in float32. As in torchvision, the longer side's length loses its fraction, and a crop
    that cannot be in the middle begins at the even one of two pixels. Without ``resize`` and ``crop`` an
    image of the model's size is taken as it is; any other is scaled so that its shorter side is the longer
    one of the model's input, and cut to the model's size.

    Raises InputError for a file that is not an intact 8-bit image, and where the result does not fit the
    model.
    """
    layout, (height, width, depth) = input_layout(section, spec), image_shape(section, spec)
    size, channels = (height, width), image_channels(section, spec)
    pixels = np.asarray(_fitted(_decoded(path, MODES[depth], section), path, section, spec, size))
    pixels = pixels.reshape(*size, depth)
    if channels == "BGR":
        pixels = pixels[:, :, ::-1]
    values = _typed(_normalised(pixels, section, depth), spec)
    return np.ascontiguousarray(values.transpose(2, 0, 1) if layout == "NCHW" else values)


def image_shape(section: PreprocessSection, spec: TensorSpec) -> tuple[int, int, int]:
    """Return height, width and channels of the image that a model takes; raises as :func:`input_layout`."""
    if input_layout(section, spec) == "NHWC":
        _, height, width, depth = spec.shape
    else:
        _, depth, height, width = spec.shape
    return height, width, depth


def input_layout(section: PreprocessSection, spec: TensorSpec) -> Layout:
    """Return the order of the input's axes: as the campaign says, else from where 1 or 3 channels stand."""
    four = len(spec.shape) == 4  # noqa: PLR2004 - batch, channels, height, width
    axes: dict[Layout, int] = {"NCHW": 1, "NHWC": 3}
    fitting = [layout for layout, axis in axes.items() if four and spec.shape[axis] in MODES]
    if section.layout in fitting:
        return section.layout
    if not fitting or section.layout is not None:
        wanted = section.layout or "NCHW or NHWC"
        raise InputError(
            f"{_input(spec)}, which is not {wanted} with 1 or 3 channels; {_layout_cure(fitting)}"
        )
    if len(fitting) > 1:
        raise InputError(f"{_input(spec)}, which may be NCHW or NHWC; set preprocess.layout to the right one")
    return fitting[0]


def _layout_cure(fitting: list[Layout]) -> str:
    return f"set preprocess.layout = '{fitting[0]}'" if fitting else "give a model that takes one image"


def image_channels(section: PreprocessSection, spec: TensorSpec) -> Channels:
    """Return the order of the image's channels; raises InputError if it, or the crop, does not fit."""
    height, width, depth = image_shape(section, spec)
    _check_crop(section, spec, (height, width), depth)
    channels = section.channels or ("L" if depth == 1 else "RGB")
    if (channels == "L") != (depth == 1):
        cure = "'L'" if depth == 1 else "'RGB' or 'BGR'"
        raise InputError(
            f"preprocess.channels is {channels!r}, the model takes {depth}; set channels = {cure}"
        )
    return channels


def _input(spec: TensorSpec) -> str:
    return f"the model's input `{spec.name}` is {_by(spec.shape)}"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _misfit(given: tuple[int, int], spec: TensorSpec, size: tuple[int, int], depth: int) -> InputError:
    cure = f"crop = {size[0]}" if size[0] == size[1] else f"crop = [{size[0]}, {size[1]}]"
    return InputError(f"preprocess gives {_by((*given, depth))}, {_input(spec)}: set {cure}")


def _check_crop(section: PreprocessSection, spec: TensorSpec, size: tuple[int, int], depth: int) -> None:
    if section.crop is not None and section.crop != size:
        raise _misfit(section.crop, spec, size, depth)


def _decoded(path: Path, mode: str, section: PreprocessSection) -> Image:
    from PIL import Image

    try:
        _check_size(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_depth(path, image)
                return (_turned(image) if section.exif else image).convert(mode)
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: too many pixels to be decoded safely; scale it down ({error})") from None
    # A damaged file makes Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        known = ", ".join(FORMATS)
        raise InputError(
            f"{path}: not an intact image ({known}): {reason}; replace it or leave it out"
        ) from error


def _check_size(path: Path) -> None:
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(f"{path}: larger than {LARGEST_FILE >> 20} MiB; replace it or leave it out")


def _check_depth(path: Path, image: Image) -> None:
    bits = _bits(image)
    if bits > 8:  # noqa: PLR2004
        raise InputError(
            f"{path}: more than 8 bits per channel ({bits}, mode {image.mode}); convert it to 8 bits"
        )


def _bits(image: Image) -> int:
    """Return the bits per channel in the file, which Pillow's mode of a coloured image does not tell."""
    tiles: Any = getattr(image, "tile", ())  # what Pillow decodes a file from
    raw = [str(value) for tile in tiles for value in (tile[3] if isinstance(tile[3], tuple) else (tile[3],))]
    if any(";16" in each for each in (image.mode, *raw)):
        return 16
    if image.format == "PPM" and any(each.isdigit() and int(each) > 255 for each in raw):  # noqa: PLR2004
        return 16
    return WIDE.get(image.mode[:1], 8)


def _turned(image: Image) -> Image:
    """Return the image as its EXIF block says; a damaged one says nothing."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # of the block, or of the pixels, which will show
        return image


def _fitted(
    image: Image, path: Path, section: PreprocessSection, spec: TensorSpec, size: tuple[int, int]
) -> Image:
    """Return the image scaled and cut to ``size`` (height, width)."""
    height, width = size
    shorter, crop = section.resize, section.crop
    if shorter is None and crop is None and image.size != (width, height):
        shorter, crop = max(size), size
    if shorter is not None:
        image = _scaled(image, path, shorter, section.resample)
    if crop is None:
        if image.size != (width, height):
            raise _misfit((image.height, image.width), spec, size, len(image.getbands()))
        return image
    if image.width < width or image.height < height:
        cure = f"set preprocess.resize = {max(size)} or more"
        raise InputError(
            f"{path}: {_by((image.height, image.width))} is smaller than the crop {_by(size)}; {cure}"
        )
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _scaled(image: Image, path: Path, shorter: int, resample: str) -> Image:
    from PIL import Image as Pillow

    longer = int(shorter * max(image.size) / min(image.size))
    width, height = (shorter, longer) if image.width <= image.height else (longer, shorter)
    if width * height > (Pillow.MAX_IMAGE_PIXELS or math.inf):
        raise InputError(f"{path}: {width}x{height} pixels after resizing are too many; crop the file")
    return image.resize((width, height), Pillow.Resampling[resample.upper()])


def _normalised(pixels: NDArray[np.uint8], section: PreprocessSection, depth: int) -> NDArray[np.float32]:
    mean, std = (_per_channel(name, getattr(section, name), depth) for name in ("mean", "std"))
    return (pixels.astype(np.float32) - mean) / std


def _per_channel(key: str, value: float | tuple[float, ...], depth: int) -> NDArray[np.float32]:
    if isinstance(value, tuple) and len(value) != depth:
        raise InputError(
            f"preprocess.{key} has {len(value)} values, the model takes {depth} channels; give {depth}"
        )
    return np.asarray(value, np.float32)


def _typed(values: NDArray[np.float32], spec: TensorSpec) -> NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    if dtype.kind not in "iu":
        return values.astype(dtype)
    rounded, bounds = np.rint(values), np.iinfo(dtype)
    if rounded.min() < bounds.min or rounded.max() > bounds.max or np.any(rounded != values):
        cure = "set preprocess.mean and std so that pixels stay whole numbers in its range"
        raise InputError(f"{_input(spec)} {dtype}, normalised pixels are not; {cure}")
    return rounded.astype(dtype)
