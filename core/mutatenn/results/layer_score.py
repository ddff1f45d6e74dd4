"""What became of the mutants of each layer of the user's own network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from mutatenn.results.estimate import Interval, wilson
from mutatenn.results.score import MutationScore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@attrs.frozen
class LayerScore:
    """The mutants in code that computes some layers, which it fuses or which share it.

    ``masked`` counts the survivors that changed values, but no output. ``sampled`` says that there are more
    such mutants than were planned.
    """

    layers: tuple[str, ...]
    score: MutationScore
    masked: int = 0
    sampled: bool = False

    @property
    def interval(self) -> Interval:
        """What these mutants tell of all such, by Wilson; a point where there are no others."""
        score = self.score
        return wilson(score.detected, score.valid, population=math.inf if self.sampled else score.valid)

    @classmethod
    def total(cls, layers: Iterable[str], parts: Sequence[LayerScore]) -> LayerScore:
        """Return all of these together, under the names of some layers."""
        score = MutationScore.total(part.score.counts for part in parts)
        masked, sampled = sum(part.masked for part in parts), any(part.sampled for part in parts)
        return cls(tuple(layers), score, masked, sampled)
