"""The contract of a mutation operator."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn.api.capability import Capability

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mutatenn.api.values import Category, Example, Level, Stage


@attrs.frozen(kw_only=True)
class Mutator(Capability):
    """One kind of small fault.

    A *unit* is what is mutated: the whole graph (level ``graph``) or one kernel (level ``kernel``).
    Most operators subclass :class:`mutatenn.GraphMutator` or :class:`mutatenn.KernelMutator`, which
    enumerate and apply; this class is the bare contract, which does not name an IR.
    """

    level: ClassVar[Level]
    category: ClassVar[Category] = "OTHER"
    groups: ClassVar[tuple[str, ...]] = ()
    """Further groups, beside the category, the level and ``all``, that select this operator."""
    stage: ClassVar[Stage]
    """When the unit is taken: ``graph`` for level graph, else the default kernel stage."""
    version: ClassVar[int] = 1
    """Raised when the operator's meaning changes; part of every mutant's id."""
    origin: ClassVar[str] = ""
    """The paper or issue the operator comes from."""
    needs: ClassVar[str] = ""
    """What a site is made of, as it follows "no": told where there is none."""

    @abstractmethod
    def sites(self, unit: Any) -> Sequence[str]:
        """Describe each place this operator can change, in a stable order, one line each."""

    def absence(self, units: Sequence[Any]) -> str:
        """Say on a line why none of a model's units has a site, "" where nothing is known."""
        del units
        return f"no {self.needs}" if self.needs else ""

    @abstractmethod
    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        """Return a changed copy of the unit with the fault at the given site ordinals.

        Never modifies the argument. Raises IndexError for an ordinal that is not a site.
        """

    @classmethod
    @abstractmethod
    def examples(cls) -> Sequence[Example]:
        """Return at least one before and after."""
