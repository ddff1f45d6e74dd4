"""A planned mutant: everything needed to make it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from mutatenn.api.values import Category, Level, Stage


@attrs.frozen
class Site:
    """A place an operator can change: unit (kernel name, or ``main``), ordinal in it, what stands there."""

    unit: str
    ordinal: int
    detail: str = ""


@attrs.frozen
class Mutant:
    """One fault to inject.

    ``id`` is stable across runs and machines: operator, unit, ordinal, and a short hash of model
    digest, operator version and options, stage and sites. A higher-order mutant has ``parts``, the
    mutants whose faults it has at once; its operator is ``combined``, its sites are theirs.
    """

    id: str
    operator: str
    category: Category
    level: Level
    stage: Stage
    sites: tuple[Site, ...]
    options: dict[str, Any] = attrs.field(factory=dict)
    parts: tuple[Mutant, ...] = ()


COMBINED = "combined"
"""The operator's name of higher-order mutants."""
