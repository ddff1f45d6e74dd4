"""Judges the original of a campaign's environment: the gate, and what explains it where it is red."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.campaign.gate import gate
from mutatenn.campaign.gate.locate import first_to_differ
from mutatenn.compiler.outline import operators
from mutatenn.engine.isolate import call_isolated
from mutatenn.results.run import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.api.baseline import Baseline
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.compiler.toolchain import Toolchain
    from mutatenn.results.store import Store

STEPPING, EIGHT_BITS_STEPS = {"round", "floor", "quantize", "dequantize"}, 0.03
"""The operators that round to steps, and what a few steps of 1/127 make of scores."""
HALF_STEP = float(np.finfo(np.float16).eps)
"""What float16 makes of a step, relative to a value."""


def take_original(
    setup: Setup,
    store: Store,
    environment: str,
    measured: gate.BaselineOutputs,
    reference: NDArray[np.float32],
    *,
    source: NDArray[np.float32] | None = None,
) -> Baseline:
    """Judge how the original did in an environment, keep it, and tell the listeners.

    ``reference`` are the reference's float32 outputs of the same images, ``[images, classes]``; ``source``
    those of the model that this is a variant of, whose scores are of the same kind, and by whose accuracy it
    is measured.
    """
    baseline = _judge(setup, environment, measured, _scores(setup, environment, reference, source))
    if source is not None and setup.truth is not None and source.shape == reference.shape:
        right = float(np.mean(Scores(source).labels() == np.asarray(setup.truth)))
        baseline = attrs.evolve(baseline, reference_accuracy=right)
    store.set_baseline(baseline, measured.first)
    setup.host.emit("mutatenn_baseline_finished", run=Run(store.directory, store), baseline=baseline)
    return baseline


def _step(toolchain: Toolchain, tolerance: float) -> str:
    """Return advice for a model that computes in coarser steps than the tolerance."""
    dtypes = {spec.dtype for spec in toolchain.program.values}
    if "float16" in dtypes and tolerance < HALF_STEP:
        return (
            f"it computes in float16, whose steps are {HALF_STEP:.1g} of a value: if that is all, "
            f"set gate.tolerance = {10 * HALF_STEP:.1g}"
        )
    rounds = not STEPPING.isdisjoint(operators(toolchain.model.module["main"]))
    if rounds and tolerance < EIGHT_BITS_STEPS:
        return (
            "it rounds to steps, of 8 bits it seems, and between two of them the last bit of a float "
            f"decides: if that is all, set gate.tolerance = {EIGHT_BITS_STEPS:g}"
        )
    return ""


def _scores(
    setup: Setup, environment: str, reference: NDArray[np.float32], source: NDArray[np.float32] | None
) -> Scores:
    model = setup.campaign.model
    variant = setup.campaign.variant(setup.environment(environment))
    if variant and variant.scores == "auto" and source is not None:
        return Scores(reference, gate.scores_of(source, model.scores).kind)
    return gate.scores_of(reference, (variant or model).scores)


def _judge(setup: Setup, environment: str, measured: gate.BaselineOutputs, scores: Scores) -> Baseline:
    campaign = setup.campaign

    def nudge() -> list[NDArray[np.float32]]:
        images = gate.nudged(setup.inputs[environment])
        try:
            found = call_isolated(lambda: [setup.run_framework(environment, each) for each in images])
        except Exception:  # then nothing excuses a difference
            return []
        return [each for each in found if each.shape == scores.values.shape]

    def locate(image: int) -> str:
        if environment not in setup.backends:  # another framework, nothing compiled
            return ""
        found, toolchain = setup.imported[environment], setup.toolchains[environment]
        place = first_to_differ(found, toolchain, setup.inputs[environment][image], campaign.gate.tolerance)
        return "; ".join(filter(None, [place, _step(toolchain, campaign.gate.tolerance)]))

    return gate.check(environment, measured, scores, setup.truth, campaign.gate, nudge=nudge, locate=locate)
