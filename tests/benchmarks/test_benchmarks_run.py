"""The benchmarks run on a tiny setting and print what their readers parse; nothing here asserts on time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = "--quick --limit 25 --mutants 2 --turns 2 --rebuild-images 1 --planned 200 --trials 1 --prepared 50"


def run(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "run.py"), *TINY.split(), "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def measure(out: Path, parts: str) -> dict[str, Any]:
    """Run parts of the benchmarks; return what they wrote, after comparing it with what they printed."""
    done = run(out, "--parts", parts)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not re.fullmatch(r"(ratio|figure) [a-z0-9_]+ \d+(\.\d+)?", line)] == []
    kept: dict[str, Any] = json.loads((out / "results.json").read_text())
    for kind in ("ratio", "figure"):
        assert [line.split()[1] for line in lines if line.startswith(kind)] == list(kept[kind])
    assert all(value > 0 for value in kept["ratio"].values())
    return kept


@pytest.mark.slow
def test_inference_and_images(tmp_path: Path) -> None:
    kept = measure(tmp_path, "inference,images")
    assert set(kept["ratio"]) == {
        "inference_vs_onnxruntime",
        "inference_vs_tvm_default",
        "images_vs_pillow",
    }
    assert kept["raw"]["inference"]["worst_difference"] < 1e-4


@pytest.mark.slow
def test_campaigns_and_plan(tmp_path: Path) -> None:
    kept = measure(tmp_path, "inference,rebuild,campaign,plan")
    assert set(kept["ratio"]) == {
        "inference_vs_onnxruntime",
        "inference_vs_tvm_default",
        "campaign_vs_onnxruntime_floor",
        "campaign_vs_rebuild",
        "campaign_vs_rebuild_on_2_cores",
        "reuse_gain",
        "second_run",
        "two_workers",
    }
    assert kept["figure"]["different_verdicts"] == 0
    assert kept["figure"]["plan_mutants"] >= 200
    assert len(kept["raw"]["campaigns"]["second"]) == 2


def test_a_model_needs_its_images(tmp_path: Path) -> None:
    done = run(tmp_path, "--model", "other.onnx")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--images" in done.stderr
