"""A planned mutant: everything needed to make it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from mutatenn.api.values import Category, Level, Stage


@attrs.frozen
class Site:
    """A place an operator can change: unit (kernel name, or ``main``), ordinal in it, what stands there.

    ``layers`` are the names of the user's own layers that are computed there, as far as the frontend tells.
    """

    unit: str
    ordinal: int
    detail: str = ""
    layers: tuple[str, ...] = ()


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

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the user's own layers that its sites are in."""
        return tuple(dict.fromkeys(name for site in self.sites for name in site.layers))


COMBINED = "combined"
"""The operator's name of higher-order mutants."""
