"""Judges the original of a campaign's environment: the gate, and what explains it where it is red."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.campaign import gate
from mutatenn.campaign.locate import first_to_differ
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import MutatennError

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
        try:
            return call_isolated(
                lambda: [setup.frontend.reference(setup.model, each) for each in gate.nudged(setup.images)]
            )
        except MutatennError:  # then nothing excuses a difference
            return []

    def locate(image: int) -> str:
        if environment not in setup.backends:  # another framework, nothing compiled
            return ""
        found, toolchain = setup.imported[environment], setup.toolchains[environment]
        return first_to_differ(found, toolchain, setup.images[image], campaign.gate.tolerance)

    scores = gate.scores_of(reference, campaign.model.scores)
    return gate.check(environment, measured, scores, setup.truth, campaign.gate, nudge=nudge, locate=locate)
