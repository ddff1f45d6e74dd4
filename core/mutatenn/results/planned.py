"""What a plan says of an operator."""

from __future__ import annotations

import attrs


@attrs.frozen
class PlannedOperator:
    """What one entry of a plan came to: operator, sites found, mutants planned.

    ``population`` counts the mutants that these were drawn from.
    """

    operator: str
    category: str
    level: str
    sites: int
    mutants: int
    population: int
