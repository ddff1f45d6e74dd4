"""Judges the original of a campaign's environment: the gate, and what explains it where it is red."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mutatenn.campaign.gate import gate
from mutatenn.campaign.gate.locate import first_to_differ
from mutatenn.campaign.promises import run_reference
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
) -> Baseline:
    """Judge how the original did in an environment, keep it, and tell the listeners.

    ``reference`` are the reference's float32 outputs of the same images, ``[images, classes]``.
    """
    baseline = _judge(setup, environment, measured, reference)
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


def _judge(
    setup: Setup, environment: str, measured: gate.BaselineOutputs, reference: NDArray[np.float32]
) -> Baseline:
    campaign = setup.campaign

    def nudge() -> list[NDArray[np.float32]]:
        images = gate.nudged(setup.images)
        try:
            found = call_isolated(
                lambda: [run_reference(setup.frontend, setup.model, each) for each in images]
            )
        except Exception:  # then nothing excuses a difference
            return []
        return [each for each in found if each.shape == reference.shape]

    def locate(image: int) -> str:
        if environment not in setup.backends:  # another framework, nothing compiled
            return ""
        found, toolchain = setup.imported[environment], setup.toolchains[environment]
        place = first_to_differ(found, toolchain, setup.images[image], campaign.gate.tolerance)
        return "; ".join(filter(None, [place, _step(toolchain, campaign.gate.tolerance)]))

    scores = gate.scores_of(reference, campaign.model.scores)
    return gate.check(environment, measured, scores, setup.truth, campaign.gate, nudge=nudge, locate=locate)
