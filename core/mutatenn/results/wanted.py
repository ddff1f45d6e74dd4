"""What a campaign asks of its results."""

from __future__ import annotations

import attrs


@attrs.frozen
class Stop:
    """Stop when the mutation score's interval, of this confidence, is no wider than ``width``, 0 to 1."""

    width: float
    confidence: float = 0.95


@attrs.frozen
class Thresholds:
    """What the results must reach, in every environment; both are from 0 to 1.

    ``min_score`` is the least mutation score, None for any; ``min_valid`` the least share of mutants that
    must have a verdict, 0 for none.
    """

    min_score: float | None = None
    min_valid: float = 0.5
