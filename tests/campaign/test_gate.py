"""The baseline gate, on hand-made measurements and on a real campaign that must stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn import Scores
from mutatenn.campaign.config import Gate
from mutatenn.campaign.gate import Baseline, Measured, check, scores_of

SCORES = np.eye(3, dtype=np.float32)[np.arange(12) % 3] * 0.8 + 0.1 / 1.1


def gate(
    first: Any = SCORES, second: Any = None, reference: Any = SCORES, truth: Any = None, **wanted: Any
) -> Baseline:
    measured = Measured(np.asarray(first), np.asarray(first if second is None else second), 0.01)
    return check("cpu", measured, Scores(np.asarray(reference)), truth, Gate(**wanted))


def test_green() -> None:
    baseline = gate(truth=np.arange(12) % 3, min_accuracy=1.0)
    assert baseline.problems == ()
    assert (baseline.accuracy, baseline.labels, baseline.reference_labels, baseline.noise) == (
        1.0,
        3,
        12,
        0.0,
    )


def test_nan_is_red() -> None:
    broken = SCORES.copy()
    broken[3, 1] = np.nan
    assert "not all finite" in gate(broken).problems[0]


def test_noise_is_measured_and_bounded() -> None:
    assert gate(SCORES, SCORES + 1e-5).noise == pytest.approx(1e-5, rel=0.01)
    assert gate(SCORES, SCORES + 1e-5).problems == ()
    assert "two runs differ by 0.01" in gate(SCORES, SCORES + 1e-2).problems[0]


def test_difference_to_the_reference_is_red() -> None:
    other = SCORES.copy()
    other[0] = [0.1, 0.1, 0.8]
    baseline = gate(reference=other)
    assert baseline.reference_labels == 11
    assert "differ from the reference runtime's by 0.7" in baseline.problems[0]
    assert "(1 labels differ)" in baseline.problems[0]


def test_logits_are_compared_as_probabilities() -> None:
    logits = np.log(SCORES / SCORES.sum(1, keepdims=True))
    measured = Measured(logits + 5, logits + 5, 0.01)
    baseline = check("cpu", measured, Scores(logits, "logits"), None, Gate())
    assert baseline.reference_difference < 1e-6


def test_one_label_for_all_is_red() -> None:
    same = np.tile(SCORES[:1], (12, 1))
    assert "one label for all 12 images" in gate(same, reference=same).problems[0]
    assert gate(same[:5], reference=same[:5]).problems == ()


def test_accuracy_below_what_is_asked_is_red() -> None:
    truth = [0, 1, 1] * 4
    assert "accuracy 0.667 is below gate.min_accuracy 0.9" in gate(truth=truth, min_accuracy=0.9).problems[0]


def test_probabilities_are_recognised() -> None:
    assert scores_of(SCORES / SCORES.sum(1, keepdims=True), "auto").kind == "probabilities"
    assert scores_of(SCORES * 3, "auto").kind == "logits"
    assert scores_of(SCORES * 3, "probabilities").kind == "probabilities"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("mean = 127.5", "mean = 0.0", "accuracy"),  # wrong scaling: caught by the golden labels
        ('path = "mutatenn:digits.onnx"', 'path = "mutatenn:digits.onnx"\nlabel_offset = 1', "accuracy 0.0"),
    ],
)
def test_a_red_gate_stops_the_campaign(
    campaign: Path, tmp_path: Path, key: str, value: str, reason: str
) -> None:
    campaign.write_text(campaign.read_text().replace(key, value) + "\n[gate]\nmin_accuracy = 0.97\n")
    with pytest.raises(mutatenn.BaselineError, match=reason):
        mutatenn.run(campaign, tmp_path / "run")
    run = mutatenn.open_run(tmp_path / "run")
    assert run.baselines["cpu"].problems
    assert not any(record.verdicts for record in run.mutants)
