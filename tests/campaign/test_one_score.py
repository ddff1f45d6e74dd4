"""A model that returns one score, for one of two classes, is given a score for either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mutatenn import InputError
from mutatenn.campaign.one_score import with_two_scores
from mutatenn.campaign.promises import load_model, run_reference
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.original import run_original
from mutatenn.host.installed import installed_backend
from mutatenn_frontends.onnx import Onnx

NET = """
<ir_version: 8, opset_import: ["": 17]>
net (float[1,1,4,4] image) => (float[1,COUNT] scores) {
  flat = Flatten(image)
  score = MatMul(flat, weights)
  scores = END
}
"""
IMAGES = np.random.default_rng(3).normal(size=(40, 1, 4, 4)).astype(np.float32)
ENDS = {
    "Identity(score)": lambda z: 1 / (1 + np.exp(-z)),
    "Clip(score, low, high)": lambda z: 1 / (1 + np.exp(-np.clip(z, -0.5, 0.5))),
    "Sigmoid(score)": lambda z: 1 / (1 + np.exp(-z)),
    "HardSigmoid <alpha = 0.25> (score)": lambda z: np.clip(z / 4 + 0.5, 0, 1),
}
"""What a model ends in, and the probability of class 1 that is meant by it."""


def write(folder: Path, end: str, count: int = 1) -> Path:
    proto = onnx.parser.parse_model(NET.replace("COUNT", str(count)).replace("END", end))
    weights = {"weights": np.linspace(-1, 1, 16 * count).reshape(16, count), "low": -0.5, "high": 0.5}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in weights.items()
    )
    path = folder / "net.onnx"
    onnx.save(proto, path)
    return path


@pytest.mark.parametrize("threshold", [None, 0.2, 0.9])
@pytest.mark.parametrize("end", ENDS)
def test_class_1_is_above_the_threshold(tmp_path: Path, end: str, threshold: float | None) -> None:
    model = load_model(Onnx(), write(tmp_path, end), threshold=threshold)
    assert model.output.shape == (1, 2)
    reference = run_reference(Onnx(), model, IMAGES)
    backend = installed_backend("llvm")
    compiled, _ = run_original(backend, Toolchain(model, backend, Profile()).program, IMAGES)
    np.testing.assert_allclose(compiled, reference, atol=1e-6)
    meant = ENDS[end](IMAGES.reshape(len(IMAGES), -1) @ np.linspace(-1, 1, 16))  # type: ignore[no-untyped-call]
    labels = meant > (threshold or 0.5)
    np.testing.assert_array_equal(reference.argmax(axis=1), labels)
    if "Sigmoid" in end:
        np.testing.assert_allclose(reference.sum(axis=1), 1, atol=1e-6)
    else:
        assert not reference[:, 0].any()
    if threshold is None:
        odds = np.exp(reference[:, 1]) / np.exp(reference).sum(axis=1)
        np.testing.assert_allclose(reference[:, 1] if "Sigmoid" in end else odds, meant, atol=1e-6)


def test_what_the_campaign_says_it_is(tmp_path: Path) -> None:
    model = load_model(Onnx(), write(tmp_path, "Identity(score)"), "probabilities")
    scores = run_reference(Onnx(), model, IMAGES)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert run_reference(Onnx(), model, IMAGES[:0]).shape == (0, 2)


def test_a_threshold_is_for_one_score(tmp_path: Path) -> None:
    model: Any = Onnx().load(write(tmp_path, "Identity(score)", count=3))
    assert with_two_scores(model) is model
    with pytest.raises(InputError, match=r"net\.onnx: has 3 scores, no threshold; remove model\.threshold$"):
        with_two_scores(model, threshold=0.5)
