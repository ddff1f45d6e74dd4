"""What a campaign asks of its results."""

from __future__ import annotations

import attrs

SHARE = attrs.validators.and_(attrs.validators.ge(0.0), attrs.validators.le(1.0))


@attrs.frozen
class Stop:
    """Stop when the mutation score's interval, of this confidence, is no wider than ``width``, 0 to 1."""

    width: float = attrs.field(validator=SHARE)
    confidence: float = attrs.field(default=0.95, validator=SHARE)


@attrs.frozen
class Thresholds:
    """What the results must reach, in every environment; both are from 0 to 1.

    ``min_score`` is the least mutation score, ``min_low`` the least low end of its interval, None for any;
    ``min_valid`` the least share of mutants that must have a verdict, 0 for none.
    """

    min_score: float | None = attrs.field(default=None, validator=attrs.validators.optional(SHARE))
    min_low: float | None = attrs.field(default=None, validator=attrs.validators.optional(SHARE))
    min_valid: float = attrs.field(default=0.5, validator=SHARE)
