"""Verdicts on hand-made observations."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import Comparator, Observation, PluginError, Scores
from mutatenn.api.verdict import Status
from mutatenn.results.judge import Judge
from mutatenn.results.score import MutationScore
from mutatenn_comparators.kl import KullbackLeibler
from mutatenn_comparators.max_abs import MaxAbs
from mutatenn_comparators.top_1 import Top1

NAMES = [f"image-{index}" for index in range(12)]
# Twelve images, three classes, four images of each.
ORIGINAL = np.eye(3, dtype=np.float32)[np.arange(12) % 3] * 0.8 + 0.1


def judge(kill: str = "top-1", original: np.ndarray[Any, Any] = ORIGINAL) -> Judge:
    oracles = {"top-1": Top1(), "max-abs": MaxAbs(), "kl": KullbackLeibler()}
    return Judge("cpu", NAMES[: len(original)], Scores(original), kill, oracles)


def ran(rows: list[int], outputs: Any, infected: list[int] | None = None, images: int = 12) -> Observation:
    flags = np.zeros(images, bool)
    flags[rows if infected is None else infected] = True
    return Observation(
        "mutant",
        "ran",
        executed=images,
        kernels=("k",),
        infected=flags,
        rows=np.asarray(rows, np.intp),
        outputs=np.asarray(outputs, np.float32).reshape(len(rows), 3),
    )


def test_a_changed_label_kills_and_the_image_is_named() -> None:
    verdict = judge().judge(ran([4], [[0.9, 0.05, 0.05]]))  # image 4 is of class 1
    assert verdict.status == "killed"
    assert verdict.by == ("top-1",)
    assert verdict.killed_images == ("image-4",)
    assert (verdict.killed, verdict.labels_changed, verdict.propagated, verdict.infected) == (1, 1, 1, 1)
    assert verdict.oracles["top-1"] == {"mean": pytest.approx(11 / 12), "worst": 0.0}


def test_a_change_that_keeps_the_labels_survives_top_1_but_not_max_abs() -> None:
    seen = ran([0], [[0.7, 0.2, 0.1]])
    assert judge().judge(seen).status == "survived"
    assert judge("max-abs").judge(seen).by == ("max-abs",)
    assert judge().judge(seen).oracles["max-abs"]["worst"] == pytest.approx(0.2, abs=1e-6)


def test_what_depends_on_memory_that_it_must_not_read_counts_only_if_it_ends_alike() -> None:
    weak, strong, other = [[0.7, 0.2, 0.1]], [[0.1, 0.8, 0.1]], [[0.1, 0.1, 0.8]]
    alike = attrs.evolve(ran([0], strong), memory="leaves its buffer", again=ran([0], other))
    verdict = judge().judge(alike)
    assert (verdict.status, verdict.memory, verdict.message) == ("killed", "leaves its buffer", "")
    verdict = judge().judge(attrs.evolve(alike, again=ran([0], weak)))
    assert verdict.status == "unstable"
    assert verdict.message.startswith(
        "killed with one content of memory that it must not read, survived with"
    )
    assert "leaves its buffer" in verdict.message
    quiet = attrs.evolve(
        ran([], [], infected=[]), memory="leaves its buffer", again=ran([], [], infected=[2])
    )
    assert judge().judge(quiet).status == "unstable"


def test_infected_without_a_trace_in_the_output_survives() -> None:
    verdict = judge().judge(ran([], [], infected=[3]))
    assert (verdict.status, verdict.infected, verdict.propagated) == ("survived", 1, 0)


def test_never_infected() -> None:
    assert judge().judge(ran([], [])).status == "never-infected"


def test_one_nan_kills_whatever_the_oracle() -> None:
    for kill in ("top-1", "max-abs", "kl"):
        verdict = judge(kill).judge(ran([7], [[np.nan, 0.9, 0.1]]))
        assert (verdict.status, verdict.by) == ("killed", ("non-finite",))
        assert (verdict.non_finite, verdict.labels_changed, verdict.killed_images) == (1, 1, ("image-7",))
        assert verdict.oracles["max-abs"]["worst"] is None


def test_one_answer_for_every_image_is_degenerate() -> None:
    verdict = judge().judge(ran(list(range(12)), [[0.2, 0.5, 0.3]] * 12))
    assert verdict.degenerate
    assert verdict.by == ("top-1", "degenerate")


@pytest.mark.parametrize("images", [2, 3, 9])
def test_the_same_scores_for_all_of_a_few_images_are_degenerate(images: int) -> None:
    rows = list(range(images))
    verdict = judge(original=ORIGINAL[:images]).judge(ran(rows, [[0.2, 0.5, 0.3]] * images, images=images))
    assert verdict.degenerate
    assert verdict.by[-1] == "degenerate"


def test_one_label_for_a_few_images_is_not_degenerate_yet() -> None:
    scores = [[0.2, 0.5, 0.3], [0.1, 0.6, 0.3]] * 4
    verdict = judge(original=ORIGINAL[:8]).judge(ran(list(range(8)), scores, images=8))
    assert not verdict.degenerate
    assert verdict.killed > 0


def test_one_image_tells_nothing_of_others() -> None:
    assert not judge(original=ORIGINAL[:1]).judge(ran([0], [[0.2, 0.5, 0.3]], images=1)).degenerate


def test_an_original_with_one_label_cannot_degenerate() -> None:
    same = np.tile(ORIGINAL[:1], (12, 1))
    assert judge(original=same).judge(ran([0], [[0.7, 0.2, 0.1]])).status == "survived"


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
@pytest.mark.parametrize("kill", ["top-1", "max-abs", "kl"])
def test_infinities_of_the_original_are_nobodys_fault(kill: str, infinity: float) -> None:
    original = ORIGINAL.copy()
    original[:4, 2] = infinity
    oracles = {"top-1": Top1(), "max-abs": MaxAbs(), "kl": KullbackLeibler()}
    logits = Judge("cpu", NAMES, Scores(original, "logits"), kill, oracles)
    assert logits.judge(ran([1], [original[1]])).status == "survived"
    lost = original[2].copy()
    lost[1:] = [1.5, 0.1]  # was infinite
    verdict = logits.judge(ran([2], [lost]))
    assert (verdict.by, verdict.non_finite) == ((kill,), 0)
    lost[1] = np.nan
    assert logits.judge(ran([2], [lost])).by == ("non-finite",)


class Plugin(Comparator):
    name = "odd"
    worse = "higher"
    answer: Any = None

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return self.answer(len(original.values))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n: np.full(n, 0.5), "notices the original itself.* 0.5 on 12 of 12 images, threshold 0"),
        (lambda n: np.full(n, np.nan), "notices the original itself.* nan on 12 of 12 images"),
        (lambda n: np.where(np.arange(n) == 3, -np.inf, 0), "notices the original itself.* -inf on 1 of 12"),
    ],
)
def test_an_oracle_that_notices_the_original_itself_is_refused(answer: Any, said: str) -> None:
    oracle = Plugin()
    object.__setattr__(oracle, "answer", answer)
    with pytest.raises(PluginError, match=f"oracle 'odd' .*{said}"):
        Judge("cpu", NAMES, Scores(ORIGINAL), "top-1", {"top-1": Top1(), "odd": oracle})


def test_no_proof_of_activation_is_no_verdict() -> None:
    seen = Observation("mutant", "ran", executed=0, infected=np.zeros(12, bool))
    assert judge().judge(seen).status == "infrastructure-error"


@pytest.mark.parametrize(
    "outcome", ["equivalent", "build-error", "crashed", "timed-out", "infrastructure-error"]
)
def test_other_outcomes_are_their_own_verdict(outcome: Any) -> None:
    verdict = judge().judge(Observation("mutant", outcome, "because", signal=11))
    assert (verdict.status, verdict.message, verdict.signal, verdict.killed) == (outcome, "because", 11, 0)


def test_score_counts_every_mutant_once_and_only_valid_ones_below_the_line() -> None:
    statuses: list[Any] = [*["killed"] * 5, *["survived"] * 2, "never-infected", "crashed", "timed-out"]
    score = MutationScore.of([*statuses, "equivalent", "build-error", "build-error"])
    assert (score.detected, score.valid) == (7, 10)
    assert score.value == 0.7
    assert score.line() == (
        "score 0.70 killed 5 survived 2 never-infected 1 crashed 1 timed-out 1 equivalent 1 build-error 2"
    )
    assert {each for each in Status if each.detected} < {each for each in Status if each.valid} < set(Status)


def test_infrastructure_errors_show_in_the_line_and_never_in_the_score() -> None:
    score = MutationScore.of(["killed", "infrastructure-error"])
    assert score.value == 1
    assert score.line().endswith("build-error 0 infrastructure-error 1")
