"""From image files to model inputs."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mutatenn import InputError, TensorSpec
from mutatenn.campaign.config.values import PreprocessSection
from mutatenn.campaign.inputs.preprocess import preprocess

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, which are silenced where images are loaded


def nchw(height: int, width: int, channels: int = 3, dtype: str = "float32") -> TensorSpec:
    return TensorSpec("input", (1, channels, height, width), dtype)


def nhwc(height: int, width: int, channels: int = 3) -> TensorSpec:
    return TensorSpec("input", (1, height, width, channels))


def noise(height: int, width: int, *channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), np.uint8)


def saved(folder: Path, pixels: NDArray[Any], name: str = "x.png", **options: Any) -> Path:
    Image.fromarray(pixels).save(folder / name, **options)
    return folder / name


def result(path: Path, spec: TensorSpec, **section: Any) -> NDArray[np.generic]:
    found = preprocess(path, PreprocessSection(**section), spec)
    assert found.shape == spec.shape[1:]
    assert found.dtype == spec.dtype
    assert found.flags.c_contiguous
    return found


def test_an_image_of_the_models_size_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels = noise(5, 9, 3)
    path = saved(tmp_path, pixels)
    assert np.array_equal(result(path, nhwc(5, 9)), pixels)
    assert np.array_equal(result(path, nchw(5, 9)), pixels.transpose(2, 0, 1))


def test_crop_is_central_and_height_comes_first(tmp_path: Path) -> None:
    pixels = noise(20, 41, 3)
    found = result(saved(tmp_path, pixels), nhwc(10, 16), crop=(10, 16))
    assert np.array_equal(found, pixels[5:15, 12:28])


@pytest.mark.parametrize(("height", "width"), [(250, 333), (333, 250)])
def test_resize_scales_the_shorter_side_and_truncates_the_other(
    tmp_path: Path, height: int, width: int
) -> None:
    pixels = noise(height, width, 3)
    found = result(saved(tmp_path, pixels), nhwc(90, 96), resize=100, crop=(90, 96))
    scaled = np.asarray(Image.fromarray(pixels).resize((133, 100) if width > height else (100, 133), 2))
    top, left = (5, 18) if width > height else (22, 2)
    assert np.array_equal(found, scaled[top : top + 90, left : left + 96])


def as_torchvision(image: Image.Image, resize: int, crop: int) -> NDArray[np.uint8]:
    """Resize(resize) and CenterCrop(crop) as torchvision documents them."""
    short, long = sorted(image.size)
    longer = int(resize * long / short)
    image = image.resize((longer, resize) if image.width > image.height else (resize, longer), 2)
    left, top = (round((side - crop) / 2.0) for side in image.size)
    return np.asarray(image)[top : top + crop, left : left + crop]


def test_sizes_and_crops_are_torchvisions(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    sizes = [(604, 256), (640, 427), (427, 640), (257, 256), *rng.integers(20, 200, (500, 2)).tolist()]
    for number, (width, height) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        resize = 256 if number == 1 else 32 + number % 7
        crop = 24 + number % 5
        found = result(saved(tmp_path, pixels), nhwc(crop, crop), resize=resize, crop=(crop, crop))
        expected = as_torchvision(Image.fromarray(pixels), resize, crop)
        assert np.array_equal(found, expected), (width, height, resize, crop)


def test_resize_alone_may_give_the_models_size(tmp_path: Path) -> None:
    pixels = noise(4, 6, 3)
    found = result(saved(tmp_path, pixels), nhwc(8, 12), resize=8, resample="nearest")
    assert np.array_equal(found, pixels.repeat(2, 0).repeat(2, 1))


def test_by_default_another_size_is_scaled_and_cut(tmp_path: Path) -> None:
    pixels = noise(8, 10, 3)
    found = result(saved(tmp_path, pixels), nhwc(16, 12), resample="nearest")
    assert np.array_equal(found, pixels.repeat(2, 0).repeat(2, 1)[:, 4:16])


@pytest.mark.parametrize("resample", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_every_resample_filter(tmp_path: Path, resample: str) -> None:
    pixels = noise(16, 16, 3)
    found = result(saved(tmp_path, pixels), nhwc(7, 7), resize=7, crop=(7, 7), resample=resample)
    wanted = Image.fromarray(pixels).resize((7, 7), Image.Resampling[resample.upper()])
    assert np.array_equal(found, np.asarray(wanted))


def test_normalisation_per_channel_in_float32(tmp_path: Path) -> None:
    pixels = noise(5, 4, 3)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    found = result(saved(tmp_path, pixels), nchw(5, 4), mean=mean, std=std)
    wanted = (pixels.astype(np.float32) - np.float32(mean)) / np.float32(std)
    assert np.array_equal(found, wanted.transpose(2, 0, 1))


def test_mean_and_std_follow_the_order_of_the_channels(tmp_path: Path) -> None:
    pixels = noise(5, 4, 3)
    found = result(saved(tmp_path, pixels), nhwc(5, 4), channels="BGR", mean=(1.0, 2.0, 3.0), std=2.0)
    assert np.array_equal(found, (pixels[:, :, ::-1].astype(np.float32) - [1, 2, 3]) / 2)


def test_greyscale_and_colour_are_converted(tmp_path: Path) -> None:
    grey = noise(5, 4)
    path = saved(tmp_path, grey)
    assert np.array_equal(result(path, nchw(5, 4, 1)), grey[None])
    assert np.array_equal(result(path, nhwc(5, 4)), np.stack([grey] * 3, axis=2))
    colour = noise(5, 4, 3)
    luma = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.array_equal(result(saved(tmp_path, colour), nhwc(5, 4, 1))[:, :, 0], luma)


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "CMYK"])
def test_other_modes_are_converted(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(5, 4, 3)).convert(mode)
    path = tmp_path / ("x.tiff" if mode == "CMYK" else "x.png")
    image.save(path, **({"transparency": b"\x00\x80"} if mode == "P" else {}))
    assert np.array_equal(result(path, nhwc(5, 4)), np.asarray(image.convert("RGB")))


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    pixels, exif = noise(3, 5, 3), Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the file's top is the scene's right side
    path = saved(tmp_path, pixels, exif=exif)
    assert np.array_equal(result(path, nhwc(5, 3)), np.rot90(pixels, -1))


def test_exif_orientation_may_be_left_out_of_account(tmp_path: Path) -> None:
    pixels, exif = noise(4, 5, 3), Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, pixels, exif=exif)
    assert np.array_equal(result(path, nhwc(4, 5), exif=False), pixels)


@pytest.mark.parametrize("block", [b"Exif\0\0garbage!", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_a_damaged_exif_block_says_nothing(tmp_path: Path, block: bytes) -> None:
    pixels = noise(4, 5, 3)
    assert np.array_equal(result(saved(tmp_path, pixels, exif=block), nhwc(4, 5)), pixels)


def test_integer_and_half_inputs(tmp_path: Path) -> None:
    pixels = noise(5, 4, 3)
    path = saved(tmp_path, pixels)
    assert np.array_equal(result(path, nchw(5, 4, dtype="uint8")), pixels.transpose(2, 0, 1))
    assert np.array_equal(
        result(path, nchw(5, 4, dtype="int8"), mean=128.0)[0], pixels[:, :, 0].astype(int) - 128
    )
    assert np.array_equal(result(path, nchw(5, 4, dtype="float16"))[0], pixels[:, :, 0])
    for section in ({"std": 2.0}, {"mean": 255.0}):
        with pytest.raises(
            InputError, match=r"is 1x3x5x4 uint8, normalised pixels are not; set preprocess\.mean"
        ):
            result(path, nchw(5, 4, dtype="uint8"), **section)


@pytest.mark.parametrize(
    ("spec", "section", "reason"),
    [
        (
            nchw(128, 128),
            {"crop": (224, 224)},
            r"^preprocess gives 224x224x3, the model's input `input` is 1x3x128x128: set crop = 128$",
        ),
        (nhwc(8, 6), {"crop": (6, 8)}, r"gives 6x8x3, .* is 1x8x6x3: set crop = \[8, 6\]$"),
        (nchw(8, 8), {"resize": 8}, r"gives 8x12x3, .* set crop = 8$"),
        (
            nchw(8, 8),
            {"resize": 4, "crop": (8, 8)},
            r"x\.png: 4x6 is smaller than the crop 8x8; set preprocess\.resize = 8 or",
        ),
        (nchw(3, 3), {"crop": (3, 3)}, r"may be NCHW or NHWC; set preprocess\.layout to the right one$"),
        (
            nchw(8, 8),
            {"layout": "NHWC"},
            r"1x3x8x8, which is not NHWC with 1 or 3 channels; set preprocess\.layout = 'NCHW'$",
        ),
        (nchw(8, 8, 4), {}, r"is 1x4x8x8, which is not NCHW or NHWC with 1 or 3 channels"),
        (TensorSpec("flat", (1, 784)), {}, r"`flat` is 1x784, which is not NCHW or NHWC"),
        (
            nchw(4, 6),
            {"channels": "L"},
            r"preprocess\.channels is 'L', the model takes 3; set channels = 'RGB' or 'BGR'$",
        ),
        (nchw(4, 6, 1), {"channels": "RGB"}, r"the model takes 1; set channels = 'L'$"),
        (
            nchw(4, 6, 1),
            {"mean": (1.0, 2.0, 3.0)},
            r"preprocess\.mean has 3 values, the model takes 1 channels; give 1$",
        ),
    ],
)
def test_what_does_not_fit_the_model(tmp_path: Path, spec: TensorSpec, section: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        result(saved(tmp_path, noise(4, 6, 3)), spec, **section)


def test_an_ambiguous_layout_can_be_set(tmp_path: Path) -> None:
    pixels = noise(3, 3, 3)
    path = saved(tmp_path, pixels)
    assert np.array_equal(result(path, nchw(3, 3), layout="NHWC"), pixels)
    assert np.array_equal(result(path, nchw(3, 3), layout="NCHW"), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tiff"])
def test_a_truncated_image(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path, noise(64, 64, 3), f"x.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        InputError, match=rf"x\.{suffix}: not an intact image .*; replace it or leave it out$"
    ):
        result(path, nchw(64, 64))


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n"])
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.png: not an intact image \(PNG, JPEG, "):
        result(path, nchw(4, 4))


def test_a_missing_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.png: .*No such file"):
        result(tmp_path / "x.png", nchw(4, 4))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_more_than_eight_bits(tmp_path: Path, dtype: type[np.generic]) -> None:
    with pytest.raises(InputError, match=r"x\.tiff: more than 8 bits per channel .*; convert it to 8 bits$"):
        result(saved(tmp_path, np.zeros((4, 4), dtype), "x.tiff"), nchw(4, 4))


def part(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_every_colour_type(tmp_path: Path, colour: int, channels: int) -> None:
    """Pillow would make 8 bits of most of them, without a word."""
    header = (4).to_bytes(4, "big") * 2 + bytes([16, colour, 0, 0, 0])
    rows = (b"\0" + bytes(4 * channels * 2)) * 4
    parts = [part(b"IHDR", header), part(b"IDAT", zlib.compress(rows)), part(b"IEND", b"")]
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(InputError, match=r"x\.png: more than 8 bits per channel \(16, mode"):
        result(path, nchw(4, 4))


def test_sixteen_bits_of_a_pixmap(tmp_path: Path) -> None:
    path = tmp_path / "x.ppm"
    path.write_bytes(b"P6 4 4 65535\n" + bytes(96))
    with pytest.raises(InputError, match=r"x\.ppm: more than 8 bits per channel \(16"):
        result(path, nchw(4, 4))


@pytest.mark.parametrize("side", [12, 20])
def test_too_many_pixels(tmp_path: Path, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns above its limit and fails above twice its limit; both are refused."""
    path = saved(tmp_path, noise(side, side, 3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"x\.png: too many pixels to be decoded safely; scale it down"):
        result(path, nchw(4, 4))


def test_a_thin_image_cannot_fill_the_memory(tmp_path: Path) -> None:
    path = saved(tmp_path, noise(1, 5000, 3))
    with pytest.raises(InputError, match=r"1280000x256 pixels after resizing are too many; crop the file$"):
        result(path, nchw(224, 224), resize=256, crop=(224, 224))
