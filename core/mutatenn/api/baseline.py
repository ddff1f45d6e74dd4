"""How the original of a campaign did in one environment."""

from __future__ import annotations

import attrs


@attrs.frozen
class Baseline:
    """How the original did in one environment.

    ``noise`` is the largest absolute difference between two runs. ``reference_difference`` is the largest
    absolute difference to the reference runtime's scores; of logits it is that which is the largest share of
    the spread of its image's scores, ``reference_spread`` (None for probabilities), see
    :mod:`mutatenn.campaign.gate.agreement`. ``reference_labels`` is how many top-1 labels agree with it;
    ``labels`` how many different top-1 labels it gives; ``reference_accuracy`` is the reference's own
    accuracy, None where the truth is not known; ``seconds`` the wall time per image. ``problems`` is empty
    when the gate is green; ``remarks`` are worth knowing even then.
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
    reference_spread: float | None = None
    remarks: tuple[str, ...] = ()
    reference_accuracy: float | None = None
