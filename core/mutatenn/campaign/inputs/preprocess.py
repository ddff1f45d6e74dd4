"""From an image file to the model's input: decode, resize, crop, normalise, lay out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.campaign.inputs.decode import decoded
from mutatenn.campaign.inputs.fit import fitted
from mutatenn.campaign.inputs.prepared import is_prepared, prepared
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.api.values import TensorSpec
    from mutatenn.campaign.config.values import Channels, Layout, PreprocessSection

MODES = {1: "L", 3: "RGB"}


def preprocess(path: Path, section: PreprocessSection, spec: TensorSpec) -> NDArray[np.generic]:
    """Return one image as the model's input, without the batch axis: ``spec.shape[1:]``, the model's dtype.

    The image is turned as its EXIF orientation says, where that counts, loses its transparency, becomes RGB
    or greyscale, is cut to ``central_fraction``, scaled to ``resize`` as ``fit`` says, cut to ``crop`` around
    its centre, and normalised in float32. As in torchvision, a longer side's length loses its fraction, and a
    crop that cannot be in the middle begins at the even one of two pixels. Without ``resize``, ``crop`` and
    ``fit`` an image of the model's size is taken as it is; any other is scaled so that its shorter side is
    the longer one of the model's input, and cut to the model's size. An array in a file of NumPy is prepared
    already, and taken as it is.

    Raises InputError for a file that is neither an intact 8-bit image nor such an array, and where the result
    does not fit the model.
    """
    if is_prepared(path):
        return prepared(path, spec)
    layout, (height, width, depth) = input_layout(section, spec), image_shape(section, spec)
    size, channels = (height, width), image_channels(section, spec)
    pixels = np.asarray(fitted(decoded(path, MODES[depth], exif=section.exif), path, section, size))
    if pixels.shape[:2] != size:
        raise _misfit(pixels.shape[:2], spec, size, depth)
    pixels = pixels.reshape(*size, depth)
    if channels == "BGR":
        pixels = pixels[:, :, ::-1]
    if layout == "NCHW":
        pixels = pixels.transpose(2, 0, 1)
    return _typed(_normalised(pixels, section, layout), spec)


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


def _misfit(given: tuple[int, ...], spec: TensorSpec, size: tuple[int, int], depth: int) -> InputError:
    cure = f"crop = {size[0]}" if size[0] == size[1] else f"crop = [{size[0]}, {size[1]}]"
    return InputError(f"preprocess gives {_by((*given, depth))}, {_input(spec)}: set {cure}")


def _check_crop(section: PreprocessSection, spec: TensorSpec, size: tuple[int, int], depth: int) -> None:
    if section.crop is not None and section.crop != size:
        raise _misfit(section.crop, spec, size, depth)


def _normalised(pixels: NDArray[np.uint8], section: PreprocessSection, layout: Layout) -> NDArray[np.float32]:
    per_channel = (-1, 1, 1) if layout == "NCHW" else (-1,)
    depth = pixels.shape[0 if layout == "NCHW" else 2]
    values = np.array(pixels, np.float32, order="C")
    mean, std = section.scaling
    values -= _per_channel("mean", mean, depth).reshape(per_channel)
    values /= _per_channel("std", std, depth).reshape(per_channel)
    return values


def _per_channel(key: str, value: float | tuple[float, ...], depth: int) -> NDArray[np.float32]:
    if isinstance(value, tuple) and len(value) != depth:
        raise InputError(
            f"preprocess.{key} has {len(value)} values, the model takes {depth} channels; give {depth}"
        )
    return np.asarray(value, np.float32)


def _typed(values: NDArray[np.float32], spec: TensorSpec) -> NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    if dtype.kind not in "iu":
        return values.astype(dtype, copy=False)
    rounded, bounds = np.rint(values), np.iinfo(dtype)
    if rounded.min() < bounds.min or rounded.max() > bounds.max or np.any(rounded != values):
        cure = "set preprocess.mean and std so that pixels stay whole numbers in its range"
        raise InputError(f"{_input(spec)} {dtype}, normalised pixels are not; {cure}")
    return rounded.astype(dtype)
