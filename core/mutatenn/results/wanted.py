"""What a campaign asks of its results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARE = attrs.validators.and_(attrs.validators.ge(0.0), attrs.validators.le(1.0))


@attrs.frozen
class Stop:
    """Stop when the mutation score's interval, of this confidence, is no wider than ``width``, 0 to 1."""

    width: float = attrs.field(validator=SHARE)
    confidence: float = attrs.field(default=0.95, validator=SHARE)


ALL = "all"
"""The name of all operators together in ``min_score``."""
_share = attrs.validators.optional(SHARE)
_number = attrs.validators.optional(attrs.validators.ge(0))


@attrs.frozen
class Thresholds:
    """What the results must reach, in every environment; None is no threshold.

    ``min_score`` is the least mutation score, 0 to 1: a number, or several by the name of an operator or
    category, or ``all``. ``min_low`` is the least low end of the interval of the score of all, ``min_valid``
    the least share of mutants that must have a verdict, 0 for none. At most so many survivors may be new:
    neither accepted nor known from an earlier run; and at most so many mutants may have timed out, failed to
    build, or ended because the machinery failed. Of originals, ``min_relative_accuracy`` is the least
    accuracy as a share of the framework's own (MLPerf's rule asks for 0.99), and on ``max_label_changes``
    images at most may the label be another than the framework's.
    """

    min_score: float | dict[str, float] | None = None
    min_low: float | None = attrs.field(default=None, validator=_share)
    min_valid: float = attrs.field(default=0.5, validator=SHARE)
    max_new_survivors: int | None = attrs.field(default=None, validator=_number)
    max_timed_out: int | None = attrs.field(default=None, validator=_number)
    max_build_errors: int | None = attrs.field(default=None, validator=_number)
    max_infrastructure_errors: int | None = attrs.field(default=None, validator=_number)
    min_relative_accuracy: float | None = attrs.field(default=None, validator=_number)
    max_label_changes: int | None = attrs.field(default=None, validator=_number)

    def __attrs_post_init__(self) -> None:
        if not all(0 <= least <= 1 for least in self.min_scores.values()):
            raise ValueError(f"min_score is {self.min_score}")

    @property
    def min_scores(self) -> dict[str, float]:
        """The least scores by operator, category, or ``all``."""
        if self.min_score is None:
            return {}
        return self.min_score if isinstance(self.min_score, dict) else {ALL: self.min_score}

    def demanding(self, demands: Mapping[str, Any]) -> Thresholds:
        """Return these with others in their place, by name; of several least scores, those that are named."""
        more = dict(demands)
        if "min_score" in more:
            more["min_score"] = {**self.min_scores, **Thresholds(min_score=more["min_score"]).min_scores}
        return attrs.evolve(self, **more)
