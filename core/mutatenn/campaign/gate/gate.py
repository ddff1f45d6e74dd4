"""The baseline gate: what the original must show before any mutant is judged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.baseline import Baseline
from mutatenn.api.values import Scores
from mutatenn.campaign.gate import agreement
from mutatenn.campaign.gate.reference import compare
from mutatenn.campaign.promises import run_reference
from mutatenn.engine.isolate import isolated
from mutatenn.engine.original import run_original
from mutatenn.results.judge import DEGENERATE_IMAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.backend import Backend
    from mutatenn.api.frontend import Frontend
    from mutatenn.api.program import Program
    from mutatenn.api.values import Model
    from mutatenn.campaign.config.values import Gate, ScoreKind
    from mutatenn.campaign.gate.reference import Nudge

SUM_TOLERANCE = 1e-3
EIGHT_BITS = 256
"""Steps of a probability that is quantised."""
TIMED_IMAGES = 64  # at least so many, to tell the time for them from the time to load the model


@attrs.frozen(eq=False)
class BaselineOutputs:
    """The original's outputs of two runs, float32 ``[images, classes]``, and wall seconds per image."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    seconds: float


def measure(backend: Backend, program: Program, images: NDArray[np.generic]) -> BaselineOutputs:
    """Run the original twice on all images, each time in a process of its own, side by side if it may.

    Raises KernelError, BuildError or InfrastructureError if the original crashes or cannot be built.
    """
    with isolated(lambda: run_original(backend, program, images)) as one:
        if backend.places is not None:
            one()  # until then the device is taken
        with isolated(lambda: run_original(backend, program, images, backwards=True)) as other:
            (first, seconds), (second, more) = one(), other()
    return BaselineOutputs(first, second, min(seconds, more))


def measure_reference(frontend: Frontend, model: Model, images: NDArray[np.generic]) -> BaselineOutputs:
    """Run the model twice in its own framework, each time in a process of its own, side by side.

    The time leaves out what the framework takes to start, as well as one can tell from outside. Raises
    InfrastructureError if it crashes.
    """
    with (
        isolated(lambda: _timed_reference(frontend, model, images)) as one,
        isolated(lambda: run_reference(frontend, model, images[::-1])[::-1]) as other,
    ):
        (first, seconds), second = one(), other()
    return BaselineOutputs(first, second, seconds)


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


def scores_of(outputs: NDArray[np.floating[Any]], wanted: ScoreKind) -> Scores:
    """Return a reference run's outputs as what they are: as configured, or as they look.

    Probabilities add up to 1, but for half a step each where they are quantised to 8 bits, as by TFLite.
    """
    if wanted != "auto":
        return Scores(outputs, wanted)
    rows = outputs[np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))]
    off = np.abs(rows.sum(axis=-1) - 1)
    stepped = (rows == np.round(rows * EIGHT_BITS) / EIGHT_BITS).all() and (rows < 1).all()
    normalised = off <= (rows.shape[-1] / 2 / EIGHT_BITS if stepped else SUM_TOLERANCE)
    looks_so = len(rows) > 0 and normalised.all() and (rows >= 0).all()
    return Scores(outputs, "probabilities" if looks_so else "logits")


def nudged(images: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """Return the images moved by one rounding, upwards and at random; integers are not rounded: none."""
    if not np.issubdtype(images.dtype, np.floating):
        return []
    up, down = (np.nextafter(images, images.dtype.type(limit)) for limit in (np.inf, -np.inf))
    upwards = np.random.default_rng(0).integers(0, 2, images.shape, dtype=bool)
    return [up, np.where(upwards, up, down)]


def check(
    environment: str,
    measured: BaselineOutputs,
    reference: Scores,
    truth: Sequence[int] | None,
    gate: Gate,
    *,
    nudge: Nudge = tuple,
    locate: Callable[[int], str] | None = None,
) -> Baseline:
    """Judge the original: equal to the reference, repeatable, not degenerate, accurate enough.

    The reference sees the same images, so that only the accuracy tells that they were prepared wrongly.
    ``truth`` holds output indices (the label offset is already in them). Two functions are called only
    where the scores differ: ``nudge`` returns the reference's scores of :func:`nudged` images, ``locate``
    says where in the original the image of an index begins to differ, or nothing.
    """
    shapes = [list(each.shape) for each in (measured.first, measured.second)]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2:  # noqa: PLR2004  # images, classes
        told = (
            f"its two runs give outputs of the shapes {shapes[0]} and {shapes[1]}, not [images, classes]",
        )
        nothing = float("inf")
        return Baseline(environment, 0, reference.kind, nothing, nothing, 0, 0, None, measured.seconds, told)
    labels = Scores(measured.first).labels()
    found = compare(measured.first, reference, gate.tolerance, nudge)
    comparable = measured.first.shape == reference.values.shape
    expected = reference.labels() if comparable else labels[:0]
    baseline = Baseline(
        environment,
        len(labels),
        reference.kind,
        noise=float(agreement.distance(measured.first, measured.second).max(initial=0.0)),
        reference_difference=found.difference,
        reference_labels=int((labels == expected).sum()) if comparable else 0,
        labels=len(np.unique(labels)),
        accuracy=None if truth is None else float(np.mean(labels == np.asarray(truth))),
        seconds=measured.seconds,
        reference_spread=found.spread,
        remarks=(found.remark,) if found.remark else (),
        reference_accuracy=float(np.mean(expected == np.asarray(truth)))
        if truth is not None and comparable
        else None,
    )
    problems = list(found.problems)
    if found.image is not None and locate and (place := locate(found.image)):
        problems[0] += f"; {place}"
    if not np.isfinite(found.difference):  # no numbers to judge further
        return attrs.evolve(baseline, problems=tuple(problems))
    problems = _noisy(measured, reference, gate.tolerance) + problems
    problems += _one_label(baseline, expected, truth, gate)
    moved = "" if truth is None else _moved(labels, truth)
    problems += _inaccurate(baseline, measured.first.shape[1], gate.min_accuracy, moved)
    return attrs.evolve(baseline, problems=tuple(problems))


def _noisy(measured: BaselineOutputs, reference: Scores, tolerance: float) -> list[str]:
    gap = agreement.gaps(measured.second, Scores(measured.first, reference.kind), tolerance)[0]
    if not gap.images:
        return []
    images = f"{gap.images} of {len(measured.first)} images"
    return [f"two runs differ by {gap.apart[gap.worst]:.2g} on {images}, more than {gap.limit(tolerance)}"]


def _one_label(
    baseline: Baseline, expected: NDArray[np.intp], truth: Sequence[int] | None, gate: Gate
) -> list[str]:
    """Return what is wrong with one label for all images: nothing, where nothing tells them apart."""
    if baseline.labels > 1 or baseline.images < DEGENERATE_IMAGES:
        return []
    alike = f"it gives one label for all {baseline.images} images"
    known, classes = len(np.unique(expected)), len(set(truth or ()))
    if known > 1:
        return [f"{alike}, where the reference runtime gives {known}"]
    if classes > 1 and gate.min_accuracy is None:
        cure = "check [preprocess] and dataset.truth, or, if that is right, set gate.min_accuracy"
        return [f"{alike}, which dataset.truth says are of {classes} classes; {cure}"]
    return []


def _moved(labels: NDArray[np.intp], truth: Sequence[int]) -> str:
    """Say by how much the true classes are off, where most are off by as much."""
    apart, counts = np.unique(labels - np.asarray(truth), return_counts=True)
    most = int(np.argmax(counts))
    if not apart[most] or counts[most] < len(labels) / 2:
        return ""
    share = counts[most] / len(labels)
    return f"; with {apart[most]:+d} added to model.label_offset it would be {share:.3f}"


def _inaccurate(baseline: Baseline, classes: int, wanted: float | None, moved: str) -> list[str]:
    """Return what is wrong with the accuracy; where none is asked for, it must be better than guessing.

    ``moved`` tells that the classes are off.
    """
    accuracy, cure = baseline.accuracy, "check [preprocess], model.label_offset and dataset.truth"
    if accuracy is None:
        return []
    if wanted is not None and accuracy < wanted:
        return [f"its accuracy {accuracy:.3f} is below gate.min_accuracy {wanted:g}; {cure}{moved}"]
    if wanted is None and baseline.images >= DEGENERATE_IMAGES and accuracy <= 1 / classes:
        accepting = "if that is right, set gate.min_accuracy = 0"
        return [f"its accuracy {accuracy:.3f} is no better than guessing; {cure}, or, {accepting}{moved}"]
    if wanted is None and baseline.images >= DEGENERATE_IMAGES and moved:
        return [f"its accuracy is {accuracy:.3f}{moved}; set that, or, if it is right, gate.min_accuracy = 0"]
    return []
