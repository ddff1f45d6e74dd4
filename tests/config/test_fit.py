"""How images get the model's size: by the shorter side, stretched, padded, cut first, as OpenCV does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mutatenn import InputError, TensorSpec
from mutatenn.campaign.config.values import PreprocessSection
from mutatenn.campaign.inputs.preprocess import preprocess

GREY = np.array(
    [
        [0, 10, 200, 255, 90, 31],
        [77, 140, 3, 9, 250, 128],
        [255, 254, 253, 1, 2, 99],
        [60, 5, 180, 33, 44, 212],
    ],
    np.uint8,
)


def fitted(folder: Path, pixels: NDArray[np.uint8], size: tuple[int, int], **section: Any) -> NDArray[Any]:
    """Return pixels as a model of this height and width gets them, ``[height, width]`` or with colours."""
    path = folder / "x.png"
    Image.fromarray(pixels).save(path)
    spec = TensorSpec("input", (1, *size, 1 if pixels.ndim == 2 else 3), "float32")
    return preprocess(path, PreprocessSection(layout="NHWC", **section), spec).reshape(
        *size, *pixels.shape[2:]
    )


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("section", "size"),
    [
        ({"fit": "stretch"}, (7, 5)),
        ({"resize": (7, 5)}, (7, 5)),
        ({"resize": (7, 5), "fit": "stretch"}, (7, 5)),
        ({"resize": 6, "fit": "stretch"}, (6, 6)),
        ({"crop": (6, 6), "fit": "stretch"}, (6, 6)),
    ],
)
def test_an_image_is_stretched(tmp_path: Path, section: dict[str, Any], size: tuple[int, int]) -> None:
    pixels = noise(12, 20, 3)
    expected = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)
    assert np.array_equal(fitted(tmp_path, pixels, size, **section), np.asarray(expected))


def test_a_stretched_image_is_cut(tmp_path: Path) -> None:
    pixels = noise(12, 20, 3)
    found = fitted(tmp_path, pixels, (4, 4), resize=(8, 6), crop=(4, 4), resample="lanczos")
    expected = Image.fromarray(pixels).resize((6, 8), Image.Resampling.LANCZOS).crop((1, 2, 5, 6))
    assert np.array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (9, 9), (2, 40), (7, 30)])
def test_an_image_is_padded_as_pillow_does_it(tmp_path: Path, shape: tuple[int, int]) -> None:
    for channels in ((), (3,)):
        pixels = noise(*shape, *channels)
        found = fitted(tmp_path, pixels, (15, 16), fit="pad", fill=114)
        colour = (114, 114, 114) if channels else 114
        padded = ImageOps.pad(Image.fromarray(pixels), (16, 15), Image.Resampling.BILINEAR, color=colour)
        assert np.array_equal(found, np.asarray(padded))


def test_the_shorter_side_may_be_asked_for(tmp_path: Path) -> None:
    pixels = noise(8, 10, 3)
    assert np.array_equal(
        fitted(tmp_path, pixels, (6, 6), fit="shorter-side"), fitted(tmp_path, pixels, (6, 6))
    )
    with pytest.raises(InputError, match=r"preprocess gives 5x6x3, .*: set crop = 4"):
        fitted(tmp_path, pixels, (4, 4), resize=(5, 6))


def test_the_centre_is_cut_first_as_tensorflow_does_it(tmp_path: Path) -> None:
    """tf.image.central_crop: int((side - side * fraction) / 2) pixels go on both sides."""
    pixels = noise(101, 50, 3)
    found = fitted(tmp_path, pixels, (89, 44), central_fraction=0.875, fit="stretch")
    assert np.array_equal(found, pixels[6:95, 3:47])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3, 4), [[17, 133, 190, 64], [174, 145, 35, 117], [81, 156, 30, 154]]),
        ((2, 3), [[57, 117, 125], [144, 117, 89]]),
        (
            (5, 8),
            [
                [0, 6, 81, 207, 248, 152, 68, 31],
                [54, 83, 86, 65, 80, 157, 163, 99],
                [166, 185, 171, 113, 20, 81, 121, 114],
                [196, 186, 199, 203, 38, 13, 59, 133],
                [60, 26, 71, 161, 51, 40, 107, 212],
            ],
        ),
    ],
)
def test_without_antialiasing_pixels_are_opencvs(
    tmp_path: Path, size: tuple[int, int], expected: list[list[int]]
) -> None:
    """The numbers that ``cv2.resize`` of opencv-python-headless 5.0.0, and of 4.10, gives."""
    assert fitted(tmp_path, GREY, size, resize=size, antialias=False).tolist() == expected
    coloured = np.stack([GREY, 255 - GREY, GREY], 2)
    found = fitted(tmp_path, coloured, size, resize=size, antialias=False)
    assert found[:, :, 0].tolist() == found[:, :, 2].tolist() == expected


def test_without_antialiasing_all_fits_work(tmp_path: Path) -> None:
    pixels = np.full((9, 12, 3), 77, np.uint8)
    assert np.all(fitted(tmp_path, pixels, (6, 6), antialias=False) == 77)
    padded = fitted(tmp_path, pixels, (8, 8), antialias=False, fit="pad", fill=1)
    assert np.array_equal(padded[:, 0, 0], [1, 77, 77, 77, 77, 77, 77, 1])


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_too_large_a_box(tmp_path: Path, fit: str) -> None:
    with pytest.raises(InputError, match=r"16384x16384 pixels after resizing are too many; crop the file$"):
        fitted(tmp_path, noise(4, 4, 3), (4, 4), resize=(16384, 16384), fit=fit, crop=(4, 4))
