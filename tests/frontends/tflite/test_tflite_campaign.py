"""TFLite models go through whole campaigns; operators of every category find their sites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mutatenn import CATEGORIES

DATA = Path(os.environ.get("MUTATENN_TEST_DATA", "absent"))
RESNET = DATA / "models" / "resnet8_cifar10.tflite"
PAPER = [category for category in CATEGORIES if category != "OTHER"]


def run(folder: Path, model: Path, images: str, **sections: str) -> Any:
    """Run a campaign of two mutants of each category by the real command; return its report."""
    lines = ['name = "tflite"', f'model.path = "{model}"', f'dataset.images = "{images}"']
    lines += [f"{name.replace('_', '.', 1)} = {value}" for name, value in sections.items()]
    for category in PAPER:
        lines += ["[[mutations]]", f'operator = "{category}"', "sites = { sample = 2 }"]
    (folder / "campaign.toml").write_text("\n".join(lines))
    command = ["run", str(folder / "campaign.toml"), "--out", str(folder / "run"), "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "mutatenn", *command], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "run" / "report" / "report.json").read_text())


def check(report: Any, images: int, without: str = "") -> None:
    """Check that original and interpreter agree and that mutants of each category but one were judged."""
    (environment,) = report["environments"]
    baseline = environment["baseline"]
    assert (baseline["images"], baseline["reference_labels"], baseline["problems"]) == (images, images, [])
    assert baseline["reference_difference"] < 1e-4 * (baseline["reference_spread"] or 1)
    assert baseline["labels"] > 1
    assert {mutant["category"] for mutant in report["mutants"]} == set(PAPER) - {without}
    counts = report["score"]["counts"]
    assert counts["killed"] > 0
    assert counts["infrastructure-error"] == counts["build-error"] == 0


def test_small_model(net: Any, tmp_path: Path) -> None:
    built = net()
    scores = built.dense(built.pooled())
    model = tmp_path / "net.tflite"
    softmax = ("SoftmaxOptions", {"Beta": 1.0})
    model.write_bytes(built.content(built.add("SOFTMAX", [scores], 1, 5, options=softmax)))
    random = np.random.default_rng(7)
    for number in range(12):
        low, high = sorted(random.integers(0, 256, 2))
        pixels = random.integers(low, high + 1, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    check(run(tmp_path, model, "*.png", preprocess_mean="127.5", preprocess_std="127.5"), 12)


@pytest.mark.slow
def test_quantised_model(net: Any, tmp_path: Path) -> None:
    """Not one bit differs from the interpreter's scores, whatever order the schedule adds in."""
    kind = {"dtype": "int8", "scale": 0.5, "zero": 3}
    built = net(dtype="int8", scale=1.0, zero=-128)
    kernel = built.random.integers(-127, 128, (32, 3, 3, 3))
    bias = built.random.integers(-9000, 9000, 32)
    inputs = [
        built.image,
        built.tensor(32, 3, 3, 3, dtype="int8", value=kernel, scale=[0.004] * 32, name="kernel"),
        built.tensor(32, dtype="int32", value=bias, scale=[0.004] * 32, name="bias"),
    ]
    relu = {"FusedActivationFunction": built.tflite.ActivationFunctionType.RELU}
    options = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1} | relu)
    found = built.add("CONV_2D", inputs, 1, 8, 8, 32, options=options, **kind | {"scale": 2.0})
    sizes = {"StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2}
    pooled = built.add(
        "AVERAGE_POOL_2D", [found], 1, 4, 4, 32, options=("Pool2DOptions", sizes), **kind | {"scale": 2.0}
    )
    mean = built.add("MEAN", [pooled, built.constant(1, 2)], 1, 32, options=("ReducerOptions", {}), **kind)
    softmax = ("SoftmaxOptions", {"Beta": 1.0})
    last = {"dtype": "int8", "scale": 1 / 256, "zero": -128}
    model = tmp_path / "net.tflite"
    model.write_bytes(built.content(built.add("SOFTMAX", [mean], 1, 32, options=softmax, **last)))
    random = np.random.default_rng(7)
    for number in range(12):
        low, high = sorted(random.integers(0, 256, 2))
        pixels = random.integers(low, high + 1, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    report = run(tmp_path, model, "*.png", preprocess_mean="128")
    check(report, 12, without="LN")  # the activation only cuts off
    assert report["environments"][0]["baseline"]["reference_difference"] == 0


@pytest.mark.slow
@pytest.mark.skipif(
    not RESNET.exists(), reason="set MUTATENN_TEST_DATA to a folder with ResNet-8 and CIFAR-10"
)
@pytest.mark.usefixtures("net")
def test_resnet8(tmp_path: Path) -> None:
    images = f"{DATA}/cifar10/*.jpg"
    report = run(tmp_path, RESNET, images, dataset_truth='"filename-prefix"', gate_min_accuracy="0.7")
    check(report, 200)
    assert report["environments"][0]["baseline"]["accuracy"] == pytest.approx(0.72)
