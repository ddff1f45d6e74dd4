"""What an ONNX model leaves open is settled: the size of its image, and which output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from mutatenn import InputError, TensorSpec
from mutatenn.campaign.execution.setup import set_up
from mutatenn.host.plugin_host import PluginHost
from mutatenn_frontends.onnx import Onnx

HEAD = "x = GlobalAveragePool(c) flat = Flatten(x)"
TWO = f"c = Conv(image, w) {HEAD} scores = MatMul(flat, fc) shares = Softmax <axis = 1> (scores)"
BOTH = "float[1,5] scores, float[1,5] shares"
ONE = f"c = Conv(image, w) {HEAD} one = MatMul(flat, column)"
COLUMN = np.array([[0.3], [-0.2], [0.5], [0.1]], np.float32)
IMAGES = np.random.default_rng(5).uniform(-1, 1, (3, 3, 8, 8)).astype(np.float32)
OPEN = f"c = Conv(image, w) {HEAD} scores = MatMul(flat, fc)"
CAMPAIGN = """
name = "open"
[model]
path = "net.onnx"
[preprocess]
resize = 12
crop = [8, 10]
[dataset]
images = "*.png"
"""


@pytest.mark.parametrize("output", ["scores", "shares"])
def test_one_of_two_outputs(write: Any, build: Any, output: str) -> None:
    frontend = Onnx(output=output)
    model = frontend.load(write(build(TWO, scores=BOTH)))
    assert model.output == TensorSpec(output, (1, 5))
    total = frontend.reference(model, IMAGES).sum(axis=1)
    assert np.allclose(total, 1) == (output == "shares")


def test_the_message_names_the_option(refused: Any, build: Any) -> None:
    refused(build(TWO, scores=BOTH), "export it with one of them, or set the option output")


def test_an_output_that_is_not_there(write: Any, build: Any) -> None:
    with pytest.raises(InputError, match=r"has no output 'x'; set model\.options\.output to one of scores"):
        Onnx(output="x").load(write(build(TWO, scores=BOTH)))


@pytest.mark.parametrize("shape", ["[1,1]", "[1]", "[1,1,1,1]", "[N,1]"])
def test_one_score(load: Any, build: Any, agree: Any, shape: str) -> None:
    sizes = [-1 if size == "N" else int(size) for size in shape[1:-1].split(",")]
    body = f"{ONE} end = Reshape(one, sizes)"
    given = {"column": COLUMN, "sizes": np.array(sizes)}
    model = load(build(body, "float[N,3,8,8] image", f"float{shape} end", **given))
    assert model.output.shape == (1, 1)
    agree(model, IMAGES)


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        ("float[N,3,H,W] image", (1, 3, 8, 10)),
        ("float[N,C,H,W] image", (1, 3, 8, 10)),
        ("float[1,3,8,W] image", (1, 3, 8, 10)),
        ("float[1,3,12,14] image", (1, 3, 12, 14)),
    ],
)
def test_a_size_that_is_open(write: Any, build: Any, image: str, shape: tuple[int, ...]) -> None:
    frontend = Onnx(size=(8, 10))
    model = frontend.load(write(build(OPEN, image, "float[N,5] scores")))
    assert model.input.shape == shape
    assert frontend.reference(model, np.zeros((2, *shape[1:]), np.float32)).shape == (2, 5)


def test_an_open_size_with_channels_last(write: Any, build: Any) -> None:
    body = f"turned = Transpose <perm = [0, 3, 1, 2]> (image) {OPEN}".replace("Conv(image", "Conv(turned")
    model = Onnx(size=(8, 10)).load(write(build(body, "float[N,H,W,3] image")))
    assert model.input.shape == (1, 8, 10, 3)


def test_an_open_size_wants_one(refused: Any, build: Any) -> None:
    refused(build(OPEN, "float[N,3,H,W] image"), "no fixed size: image float32[Nx3xHxW]; set preprocess.crop")


def test_channels_that_nothing_tells(write: Any, build: Any) -> None:
    body = "flat = GlobalAveragePool(image) f = Flatten(flat) scores = MatMul(f, fc)"
    with pytest.raises(InputError, match="no fixed size"):
        Onnx(size=(8, 10)).load(write(build(body, "float[N,C,H,W] image")))


@pytest.mark.parametrize("size", [(8,), (8, 0), (8, 9, 3), (8.5, 9)])
def test_wrong_sizes(size: Any) -> None:
    with pytest.raises(ValueError, match=r"size is \[height, width\], in pixels"):
        Onnx(size=size)


def test_a_campaign_gives_its_crop(write: Any, build: Any) -> None:
    path = write(build(OPEN, "float[N,3,H,W] image", "float[N,5] scores"))
    campaign = path.with_name("open.toml")
    campaign.write_text(CAMPAIGN)
    for number in range(2):
        Image.new("RGB", (20, 14), (number * 90, 30, 60)).save(path.with_name(f"{number}.png"))
    setup = set_up(campaign, PluginHost.installed())
    assert setup.model.input.shape == (1, 3, 8, 10)
    assert setup.inputs["cpu"].shape == (2, 3, 8, 10)
