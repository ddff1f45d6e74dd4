"""Images that are prepared wrongly: what the gate can tell, and what only true classes tell it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from PIL import Image

import mutatenn
from mutatenn import BaselineError
from mutatenn.api.baseline import Baseline
from mutatenn.campaign.config.resources import data_folder

COLOURS = {0: (200, 30, 60), 1: (40, 210, 20), 2: (10, 50, 220)}
CAMPAIGN = """
name = "t"
[model]
path = "{model}"
[preprocess]
{preprocess}
[dataset]
images = "images/*.png"
{dataset}
[[environments]]
name = "cpu"
[[environments]]
name = "own"
backend = "reference"
{gate}
"""

Gate = Callable[..., Baseline]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Return a function that runs a campaign and returns the baseline, or raises BaselineError."""

    def gate(
        preprocess: str = "", *, model: str = "net.onnx", truth: str = "", wanted: float | None = None
    ) -> Baseline:
        dataset = f'truth = "{truth}"' if truth else ""
        gate = "" if wanted is None else f"[gate]\nmin_accuracy = {wanted}"
        text = CAMPAIGN.format(model=model, preprocess=preprocess, dataset=dataset, gate=gate)
        (tmp_path / "t.toml").write_text(text)
        return mutatenn.run(tmp_path / "t.toml", tmp_path / "run").baselines["cpu"]

    (tmp_path / "images").mkdir()
    return gate


@pytest.fixture
def colours(tmp_path: Path, gate: Gate) -> None:
    """Write a model whose classes are red, green and blue, and images of these colours."""
    body = "scores = ReduceMean<axes = [2, 3], keepdims = 0>(image)"
    net = f"net (float[1,3,4,6] image) => (float[1,3] scores) {{{body}}}"
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 13]> {net}')
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    random = np.random.default_rng(2)
    for number in range(12):
        pixels = np.array(COLOURS[number % 3]) + random.integers(-10, 10, (4, 6, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / f"{number % 3}_{number:02}.png")


@pytest.fixture
def transposed(tmp_path: Path, gate: Gate) -> None:
    """Write the bundled digits with height and width swapped."""
    shutil.copy(data_folder() / "digits.onnx", tmp_path / "net.onnx")
    for path in sorted((data_folder() / "digits").glob("*_00*.png")):
        with Image.open(path) as image:
            image.transpose(Image.Transpose.TRANSPOSE).save(tmp_path / "images" / path.name)


@pytest.mark.usefixtures("colours")
def test_channels_in_the_right_order(gate: Gate) -> None:
    assert gate(truth="filename-prefix").accuracy == 1.0


@pytest.mark.usefixtures("colours")
def test_swapped_channels_are_told_by_true_classes(gate: Gate) -> None:
    with pytest.raises(
        BaselineError, match=r"accuracy 0.333 is no better than guessing; check \[preprocess\]"
    ):
        gate('channels = "BGR"', truth="filename-prefix")
    with pytest.raises(BaselineError, match=r"accuracy 0.333 is below gate.min_accuracy 0.9; check"):
        gate('channels = "BGR"', truth="filename-prefix", wanted=0.9)
    assert gate('channels = "BGR"', truth="filename-prefix", wanted=0.0).accuracy == pytest.approx(1 / 3)


@pytest.mark.usefixtures("colours")
def test_nothing_else_can_tell(gate: Gate) -> None:
    """The reference sees the same images: without classes, a wrong order is as good as the right one."""
    baseline = gate('channels = "BGR"')
    assert (baseline.problems, baseline.reference_labels, baseline.accuracy) == ((), 12, None)


@pytest.mark.usefixtures("transposed")
def test_swapped_height_and_width(gate: Gate) -> None:
    scaled = "mean = 127.5\nstd = 127.5"
    with pytest.raises(BaselineError, match=r"its accuracy 0\.\d+ is below gate.min_accuracy 0.97"):
        gate(scaled, truth="filename-prefix", wanted=0.97)
    assert (gate(scaled).problems, gate(scaled).accuracy) == ((), None)


@pytest.mark.usefixtures("transposed")
def test_golden_labels_of_the_users_own_pipeline(gate: Gate, tmp_path: Path) -> None:
    """Labels that another program gave to the same images must come out, every one of them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    rows = ["image,class"]
    for path in sorted((tmp_path / "images").iterdir()):
        pixels = np.asarray(Image.open(path), np.float32)
        (scores,) = session.run(None, {"image": (pixels[np.newaxis, np.newaxis] - 127.5) / 127.5})
        rows.append(f"{path.name},{scores.argmax()}")
    (tmp_path / "golden.csv").write_text("\n".join(rows))
    assert gate("mean = 127.5\nstd = 127.5", truth="golden.csv", wanted=1.0).accuracy == 1.0
    with pytest.raises(BaselineError, match=r"is below gate.min_accuracy 1; check \[preprocess\]"):
        gate("mean = 127.5\nstd = 255", truth="golden.csv", wanted=1.0)
