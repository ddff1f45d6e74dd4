"""A folder with a model file, images and labels, and a way to write campaign files into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEAD = 'name = "t"\n'
MODEL = '[model]\npath = "net.onnx"\n'
DATASET = '[dataset]\nimages = "images/*.png"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose own name looks like a glob pattern."""
    base = tmp_path / "a [b]"
    (base / "images").mkdir(parents=True)
    (base / "net.onnx").write_bytes(b"only looked for, not read")
    for name in ("0_zero.png", "1_one.png", "12_twelve.png"):
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(base / "images" / name)
    (base / "labels.csv").write_text("image,label\n0_zero.png,0\n1_one.png,1\n12_twelve.png,2\n")
    return base


@pytest.fixture
def write(folder: Path) -> Callable[..., Path]:
    """Write a campaign file from its sections; each has a valid default."""

    def write(tail: str = "", *, head: str = HEAD, model: str = MODEL, dataset: str = DATASET) -> Path:
        path = folder / "campaign.toml"
        path.write_text("\n".join([head, model, dataset, tail]))
        return path

    return write
