"""Judges the original of a campaign's environment: the gate, and what explains it where it is red."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.campaign import gate
from mutatenn.campaign.locate import first_to_differ
from mutatenn.campaign.promises import run_reference
from mutatenn.engine.isolate import call_isolated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.campaign.setup import Setup


def judge_original(
    setup: Setup, environment: str, measured: gate.Measured, reference: NDArray[np.float32]
) -> gate.Baseline:
    """Return how the original did in an environment, beside the reference's outputs of the same images."""
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
        return first_to_differ(found, toolchain, setup.images[image], campaign.gate.tolerance)

    scores = gate.scores_of(reference, campaign.model.scores)
    return gate.check(environment, measured, scores, setup.truth, campaign.gate, nudge=nudge, locate=locate)
