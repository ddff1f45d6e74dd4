"""The baseline gate: what the original must show before any mutant is judged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.border import opened
from mutatenn.campaign.judge import DEGENERATE_IMAGES
from mutatenn.campaign.promises import run_reference
from mutatenn.engine.evaluate import Evaluator
from mutatenn.engine.isolate import isolated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mutatenn.api.backend import Backend
    from mutatenn.api.frontend import Frontend
    from mutatenn.api.program import Program
    from mutatenn.api.values import Model
    from mutatenn.campaign.config import Gate, ScoreKind

SUM_TOLERANCE = 1e-3
TIMED_IMAGES = 64  # at least so many, to tell the time for them from the time to load the model


@attrs.frozen
class Baseline:
    """How the original did in one environment.

    ``noise`` is the largest absolute difference between two runs, ``reference_difference`` that between its
    probabilities and the reference runtime's, ``reference_labels`` how many top-1 labels agree with it;
    ``labels`` how many different top-1 labels it gives; ``seconds`` the wall time per image. ``problems``
    is empty when the gate is green.
    """

    environment: str
    images: int
    kind: str
    noise: float
    reference_difference: float
    reference_labels: int
    labels: int
    accuracy: float | None
    seconds: float
    problems: tuple[str, ...] = ()


@attrs.frozen(eq=False)
class Measured:
    """The original's outputs of two runs, float32 ``[images, classes]``, and wall seconds per image."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    seconds: float


def measure(backend: Backend, program: Program, images: NDArray[np.generic]) -> Measured:
    """Run the original twice on all images, each time in a process of its own, side by side if it may.

    Raises KernelError, BuildError or InfrastructureError if the original crashes or cannot be built.
    """
    with isolated(lambda: _run(backend, program, images, backwards=False)) as one:
        if backend.places is not None:
            one()  # until then the device is taken
        with isolated(lambda: _run(backend, program, images, backwards=True)) as other:
            (first, seconds), (second, more) = one(), other()
    return Measured(first, second, min(seconds, more))


def measure_reference(frontend: Frontend, model: Model, images: NDArray[np.generic]) -> Measured:
    """Run the model twice in its own framework, each time in a process of its own, side by side.

    The time leaves out what the framework takes to start, as well as one can tell from outside. Raises
    InfrastructureError if it crashes.
    """
    with (
        isolated(lambda: _timed_reference(frontend, model, images)) as one,
        isolated(lambda: run_reference(frontend, model, images[::-1])[::-1]) as other,
    ):
        (first, seconds), second = one(), other()
    return Measured(first, second, seconds)


def _timed_reference(
    frontend: Frontend, model: Model, images: NDArray[np.generic]
) -> tuple[NDArray[np.float32], float]:
    run_reference(frontend, model, images[:1])  # imports the framework
    start = time.monotonic()
    run_reference(frontend, model, images[:1])
    middle = time.monotonic()
    repeated = np.resize(images, (max(len(images), TIMED_IMAGES), *images.shape[1:]))
    outputs = run_reference(frontend, model, repeated)[: len(images)]
    loading = middle - start  # and one image
    whole = time.monotonic() - middle
    per_image = (whole - loading) / (len(repeated) - 1)
    return outputs, per_image if per_image > 0 else whole / len(repeated)


def _run(
    backend: Backend, program: Program, images: NDArray[np.generic], *, backwards: bool
) -> tuple[NDArray[np.float32], float]:
    evaluator = Evaluator(opened(backend))
    linked = evaluator.link(program, backwards=backwards)
    evaluator.output(linked, images[0])  # some devices finish building at the first call
    start = time.monotonic()
    rows = [evaluator.device.fetch(evaluator.output(linked, image)) for image in images]
    seconds = (time.monotonic() - start) / max(1, len(images))
    return np.stack(rows).reshape(len(images), -1).astype(np.float32), seconds


def scores_of(outputs: NDArray[np.floating[Any]], wanted: ScoreKind) -> Scores:
    """Return a reference run's outputs as what they are: as configured, or as they look."""
    if wanted != "auto":
        return Scores(outputs, wanted)
    normalised = np.abs(outputs.sum(axis=1) - 1) <= SUM_TOLERANCE
    return Scores(outputs, "probabilities" if normalised.all() and (outputs >= 0).all() else "logits")


def check(
    environment: str,
    measured: Measured,
    reference: Scores,
    truth: Sequence[int] | None,
    gate: Gate,
) -> Baseline:
    """Judge the original: finite, repeatable, not degenerate, equal to the reference, accurate enough.

    The reference sees the same images, so that only the accuracy tells that they were prepared wrongly.

    ``truth`` holds output indices (the label offset is already in them).
    """
    scores = Scores(measured.first, reference.kind)
    finite = bool(np.isfinite(measured.first).all() and np.isfinite(measured.second).all())
    labels, expected = scores.labels(), reference.labels()
    accuracy = None if truth is None else float(np.mean(labels == np.asarray(truth)))
    baseline = Baseline(
        environment,
        len(labels),
        scores.kind,
        noise=_largest(measured.first - measured.second) if finite else float("inf"),
        reference_difference=_largest(scores.probabilities() - reference.probabilities())
        if finite
        else float("inf"),
        reference_labels=int((labels == expected).sum()),
        labels=len(np.unique(labels)),
        accuracy=accuracy,
        seconds=measured.seconds,
    )
    return attrs.evolve(baseline, problems=tuple(_problems(baseline, finite, scores.values.shape[1], gate)))


def _problems(baseline: Baseline, finite: bool, classes: int, gate: Gate) -> list[str]:
    if not finite:
        return ["its outputs are not all finite; check [preprocess] and the model"]
    problems = []
    if baseline.noise > gate.tolerance:
        problems.append(
            f"two runs differ by {baseline.noise:.2g}, more than the tolerance {gate.tolerance:g}"
        )
    if baseline.reference_difference > gate.tolerance:
        problems.append(
            f"its probabilities differ from the reference runtime's by {baseline.reference_difference:.2g}, "
            f"more than the tolerance {gate.tolerance:g} "
            f"({baseline.images - baseline.reference_labels} labels differ)"
        )
    if baseline.labels == 1 and baseline.images >= DEGENERATE_IMAGES:
        problems.append(
            f"it gives one label for all {baseline.images} images; check [preprocess] and the images"
        )
    problems += _inaccurate(baseline, classes, gate.min_accuracy)
    return problems


def _inaccurate(baseline: Baseline, classes: int, wanted: float | None) -> list[str]:
    """Return what is wrong with the accuracy; where none is asked for, it must be better than guessing."""
    accuracy, cure = baseline.accuracy, "check [preprocess], model.label_offset and dataset.truth"
    if accuracy is None:
        return []
    if wanted is not None and accuracy < wanted:
        return [f"its accuracy {accuracy:.3f} is below gate.min_accuracy {wanted:g}; {cure}"]
    if wanted is None and baseline.images >= DEGENERATE_IMAGES and accuracy <= 1 / classes:
        accepting = "if that is right, set gate.min_accuracy = 0"
        return [f"its accuracy {accuracy:.3f} is no better than guessing; {cure}, or, {accepting}"]
    return []


def _largest(difference: NDArray[Any]) -> float:
    return float(np.abs(difference).max(initial=0.0))
