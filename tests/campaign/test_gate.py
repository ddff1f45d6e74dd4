"""The baseline gate, on hand-made measurements and on a real campaign that must stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn import Scores
from mutatenn.api.baseline import Baseline
from mutatenn.campaign.config.values import Gate
from mutatenn.campaign.gate.gate import BaselineOutputs, check, nudged, scores_of

SCORES = np.eye(3, dtype=np.float32)[np.arange(12) % 3] * 0.8 + 0.1 / 1.1


def gate(
    first: Any = SCORES, second: Any = None, reference: Any = SCORES, truth: Any = None, **wanted: Any
) -> Baseline:
    measured = BaselineOutputs(np.asarray(first), np.asarray(first if second is None else second), 0.01)
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


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (np.nan, 0.1, "its outputs are not all finite (NaN on 1 of 12 images), where the reference's are"),
        (
            np.inf,
            0.1,
            "its outputs are not all finite (infinite on 1 of 12 images), where the reference's are",
        ),
        (0.1, np.nan, "the reference's outputs are not all finite (NaN on 1 of 12 images), where"),
        (0.1, -np.inf, "the reference's outputs are not all finite (infinite on 1 of 12 images), where"),
        (np.nan, np.nan, "its outputs are not all finite, nor are the reference's (NaN on 1 of 12 images)"),
        (np.inf, -np.inf, "its outputs are not all finite, nor are the reference's (infinite on"),
    ],
)
def test_what_one_side_has_no_number_for_is_red(ours: float, theirs: float, said: str) -> None:
    first, reference = SCORES.copy(), SCORES.copy()
    first[3, 1], reference[3, 1] = ours, theirs
    for kind in ("probabilities", "logits"):
        baseline = compared(first, reference, kind)
        assert len(baseline.problems) == 1
        assert said in baseline.problems[0]


def test_infinities_that_both_sides_have_are_told() -> None:
    scores = SCORES.copy()
    scores[:2, 0] = -np.inf
    baseline = compared(scores, scores, "logits")
    assert baseline.problems == ()
    assert (baseline.noise, baseline.reference_difference) == (0.0, 0.0)
    assert "infinite scores on 2 of 12 images" in baseline.remarks[0]


@pytest.mark.parametrize("reference", [SCORES[:11], SCORES[:, :2], SCORES[0]])
def test_outputs_of_another_shape_are_red(reference: Any) -> None:
    (again,) = gate(SCORES, reference).problems
    assert "two runs give outputs of the shapes [12, 3] and " in again
    (problem,) = gate(reference=reference).problems
    assert f"shape [12, 3], the reference runtime's {list(reference.shape)}" in problem


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
    assert "(1 label differs)" in baseline.problems[0]


CONFIDENT = (
    np.random.default_rng(5).normal(size=(6, 8)).astype(np.float32) * 4 + np.eye(8, dtype=np.float32)[0] * 80
)


def compared(first: Any, reference: Any, kind: Any, **functions: Any) -> Baseline:
    return check(
        "cpu", BaselineOutputs(first, first, 0.01), Scores(reference, kind), None, Gate(), **functions
    )


def test_logits_beside_a_confident_class_are_compared_as_they_are() -> None:
    assert compared(CONFIDENT * np.float32(1 + 1e-6), CONFIDENT, "logits").problems == ()
    (problem,) = compared(CONFIDENT + np.eye(8, dtype=np.float32)[5] * 1.4, CONFIDENT, "logits").problems
    assert problem.startswith("its scores differ from the reference runtime's by 1.4 on 6 of 6 images")
    assert "of their spread" in problem
    assert "(0 labels differ)" in problem


@pytest.mark.parametrize("offset", [0, 80, 1e4])
def test_one_percent_of_one_logit_is_red(offset: float) -> None:
    logits = CONFIDENT + np.eye(8, dtype=np.float32)[0] * np.float32(offset)
    wrong = logits.copy()
    wrong[2, 4] *= 1.01
    assert "on 1 of 6 images" in compared(wrong, logits, "logits").problems[0]


def test_probabilities_beside_a_confident_class_are_compared_by_their_logarithms() -> None:
    right = Scores(CONFIDENT, "logits").probabilities().astype(np.float32)
    wrong = Scores(CONFIDENT + np.eye(8, dtype=np.float32)[5] * 1.4, "logits").probabilities()
    assert np.abs(right - wrong).max() < 1e-6
    assert compared(right * np.float32(1 + 1e-6), right, "probabilities").problems == ()
    problem = compared(wrong.astype(np.float32), right, "probabilities").problems[0]
    assert "the logarithms of its probabilities differ from the reference runtime's by 1.4" in problem


@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance"),
    [
        ([[1 - 2**-23, 2**-23]], [[1 - 2**-24, 2**-24]], 1e-4),  # 1 - p
        ([[253 / 255, 1 / 255, 1 / 255]], [[252 / 255, 2 / 255, 1 / 255]], 0.005),  # quantised
    ],
)
def test_probabilities_that_are_no_finer_are_compared_absolutely(
    ours: Any, theirs: Any, tolerance: float
) -> None:
    assert gate(np.float32(ours), reference=np.float32(theirs), tolerance=tolerance).problems == ()


def test_what_rounding_the_input_does_to_the_scores_is_forgiven() -> None:
    drifted = CONFIDENT + np.float32(0.01)
    assert compared(drifted, CONFIDENT, "logits").problems
    assert compared(drifted, CONFIDENT, "logits", nudge=lambda: [CONFIDENT + np.float32(1e-3)]).problems == ()
    problem = compared(drifted, CONFIDENT, "logits", nudge=lambda: [CONFIDENT + np.float32(1e-4)]).problems[0]
    assert "more than the 0.0064 that rounding explains" in problem
    moved, torn = SCORES + np.float32(1e-3), SCORES + np.float32(1e-4)
    assert compared(moved, SCORES, "probabilities").problems
    assert compared(moved, SCORES, "probabilities", nudge=lambda: [torn]).problems == ()


@pytest.mark.parametrize("scores", [np.full((3, 4), 2.0), np.array([[3.0], [5.0]]), np.zeros((2, 5))])
def test_scores_without_a_spread_are_compared_all_the_same(scores: Any) -> None:
    scores = scores.astype(np.float32)
    assert compared(scores, scores, "logits").problems == ()
    assert compared(scores + np.float32(0.1), scores, "logits").problems


def test_images_are_moved_by_one_rounding() -> None:
    images = np.array([[0.5, -3.0, 0.0]], np.float32)
    up, either = nudged(images)
    assert (up > images).all()
    assert (np.abs(either - images) <= np.abs(np.spacing(images))).all()
    assert (either != images).all()
    assert nudged(images.astype(np.uint8)) == []


def test_where_it_begins_to_differ_is_told_of_an_image_that_does() -> None:
    wrong, asked = SCORES.copy(), list[int]()
    wrong[7] = [0.1, 0.8, 0.1]

    def locate(image: int) -> str:
        asked.append(image)
        return "the first to differ is operator Relu"

    assert compared(SCORES, SCORES, "probabilities", locate=locate).problems == ()
    assert asked == []
    baseline = compared(wrong, SCORES, "probabilities", locate=locate)
    assert baseline.problems[0].endswith("; the first to differ is operator Relu")
    assert asked == [7]


SAME = np.tile(SCORES[:1], (12, 1))


@pytest.mark.parametrize(
    ("reference", "truth", "wanted", "said"),
    [
        (SAME, None, None, ""),
        (SAME, [0] * 12, None, ""),
        (SAME, [0, 1, 2] * 4, None, "which dataset.truth says are of 3 classes"),
        (SAME, [0, 1, 2] * 4, 0.3, ""),
        (SCORES, None, None, "where the reference runtime gives 3"),
    ],
)
def test_one_label_for_all_is_red_where_the_images_are_known_to_differ(
    reference: Any, truth: Any, wanted: float | None, said: str
) -> None:
    problems = gate(SAME, reference=reference, truth=truth, min_accuracy=wanted).problems
    told = [problem for problem in problems if "one label for all 12 images" in problem]
    assert [said in problem for problem in told] == ([True] if said else [])
    assert gate(SAME[:5], reference=reference[:5] * 0 + SAME[:5], truth=[0, 1, 2, 0, 1]).problems == ()


def test_accuracy_below_what_is_asked_is_red() -> None:
    truth = [0, 1, 1] * 4
    assert "accuracy 0.667 is below gate.min_accuracy 0.9" in gate(truth=truth, min_accuracy=0.9).problems[0]


def test_probabilities_are_recognised() -> None:
    assert scores_of(SCORES / SCORES.sum(1, keepdims=True), "auto").kind == "probabilities"
    assert scores_of(SCORES * 3, "auto").kind == "logits"
    assert scores_of(SCORES * 3, "probabilities").kind == "probabilities"
    damaged = SCORES / SCORES.sum(1, keepdims=True)
    damaged[4] = np.nan
    assert scores_of(damaged, "auto").kind == "probabilities"
    assert scores_of(damaged[4:5], "auto").kind == "logits"


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


def test_an_oracle_that_notices_the_original_itself_is_refused_before_anything_runs(
    campaign: Path, tmp_path: Path
) -> None:
    oracle = '\n[oracles]\nkill = { name = "euclidean", threshold = -0.5 }\n'
    campaign.write_text(campaign.read_text() + oracle)
    with pytest.raises(mutatenn.PluginError, match="oracle 'euclidean' notices the original itself"):
        mutatenn.run(campaign, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("moved", "told"), [(1, "-1"), (-1, "+1"), (0, "")])
def test_classes_that_are_all_moved_are_told(moved: int, told: str) -> None:
    scores = np.eye(5, dtype=np.float32)[np.arange(12) % 3 + 1] * 0.8 + 0.04
    truth = (np.arange(12) % 3 + 1 + moved) if moved else np.full(12, 4)
    hint = f"; with {told} added to model.label_offset it would be 1.000"
    for wanted in (0.9, None):
        (problem,) = gate(scores, reference=scores, truth=truth, min_accuracy=wanted).problems
        assert problem.endswith(hint) if told else "added to" not in problem


def test_moved_classes_are_red_though_some_are_right_by_chance() -> None:
    labels = np.arange(12) % 3 + 1
    scores = np.eye(20, dtype=np.float32)[labels] * 0.8 + 0.01
    truth = np.where(np.arange(12) < 2, labels, labels - 1)
    (problem,) = gate(scores, reference=scores, truth=truth).problems
    assert problem.startswith(
        "its accuracy is 0.167; with +1 added to model.label_offset it would be 0.833; set"
    )
    assert gate(scores, reference=scores, truth=truth, min_accuracy=0.0).problems == ()
