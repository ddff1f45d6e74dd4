"""A SavedModel goes through a whole campaign; operators of every category find their sites."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mutatenn import CATEGORIES

PAPER = [category for category in CATEGORIES if category != "OTHER"]


@pytest.mark.slow
def test_saved_model(desk: Any, tmp_path: Path) -> None:
    """By the real command, as users have it: two mutants of each category, and of each batch norm."""
    lines = ['name = "tensorflow"', f'model.path = "{desk.make("saved_model")}"', 'dataset.images = "*.png"']
    lines += ["preprocess.mean = 127.5", "preprocess.std = 127.5"]
    for category in PAPER:
        lines += ["[[mutations]]", f'operator = "{category}"', "sites = { sample = 2 }"]
    lines += ["[[mutations]]", 'operator = "exp-batch-norm-before"']
    (tmp_path / "campaign.toml").write_text("\n".join(lines))
    random = np.random.default_rng(7)
    for number in range(12):
        low, high = sorted(random.integers(0, 256, 2))
        pixels = random.integers(low, high + 1, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    command = ["run", str(tmp_path / "campaign.toml"), "--out", str(tmp_path / "run"), "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "mutatenn", *command], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "tensorflow" in line.lower()], done.stderr
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    baseline = report["environments"][0]["baseline"]
    assert (baseline["images"], baseline["reference_labels"], baseline["problems"]) == (12, 12, [])
    assert baseline["reference_difference"] < 1e-4 * (baseline["reference_spread"] or 1)
    assert baseline["labels"] > 1
    assert {mutant["category"] for mutant in report["mutants"]} == set(PAPER)
    assert sum(mutant["operator"] == "exp-batch-norm-before" for mutant in report["mutants"]) == 2
    counts = report["score"]["counts"]
    assert counts["killed"] > 0
    assert counts["infrastructure-error"] == counts["build-error"] == 0
