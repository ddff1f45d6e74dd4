"""Writes digits.textnet and digits.npz: a network for the digits bundled with MutateNN, fitted with numpy.

Its convolution is random; only the last layer is fitted (ridge regression on what the others compute).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mutatenn_plugin_text_network import Network, compute, read
from PIL import Image

import mutatenn

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT = """\
input 1 8 8   # channels, height, width
conv stem     # stem.weight [out, in, height, width] and stem.bias [out]
relu
pool 2        # the largest value of each 2 x 2 pixels
dense head    # head.weight [out, in] and head.bias [out]
"""
CHANNELS, CLASSES = 24, 10


def main(folder: Path) -> None:
    """Write the two files into a folder."""
    files = sorted(Path(mutatenn.__file__).parent.glob("data/digits/*.png"))
    images = np.stack([np.asarray(Image.open(file), np.float32) for file in files])[:, np.newaxis]
    labels = np.array([int(file.name.partition("_")[0]) for file in files])
    random = np.random.default_rng(1)
    weights = {
        "stem.weight": random.normal(size=(CHANNELS, 1, 3, 3)).astype(np.float32),
        "stem.bias": random.normal(size=CHANNELS).astype(np.float32),
        "head.weight": np.eye(CHANNELS * 16, dtype=np.float32),
        "head.bias": np.zeros(CHANNELS * 16, np.float32),
    }
    network = write(folder, weights)
    features = np.concatenate([compute(network, image[np.newaxis]) for image in (images - 127.5) / 127.5])
    wanted = 10 * np.eye(CLASSES)[labels] - 5
    ridge = features.T @ features + 10 * np.eye(features.shape[1])
    weights["head.weight"] = np.linalg.solve(ridge, features.T @ wanted).T.astype(np.float32)
    weights["head.bias"] = np.zeros(CLASSES, np.float32)
    write(folder, weights)


def write(folder: Path, weights: dict[str, NDArray[np.float32]]) -> Network:
    """Write text and weights; return the network they are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digits.textnet").write_text(TEXT, encoding="utf-8")
    np.savez(folder / "digits.npz", **weights)  # type: ignore[arg-type]  # numpy means its options
    return read(folder / "digits.textnet")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
