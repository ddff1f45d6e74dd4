"""What all contributions of plugins have in common."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

Kind = Literal["frontend", "mutator", "backend", "executor", "comparator", "reporter", "command"]


class Capability(ABC):
    """Anything a plugin contributes under a unique kebab-case name.

    The first line of the class docstring is its one-line summary. A capability with options is an
    ``attrs`` class whose fields (keyword-only, with defaults) are the options a campaign file may
    set.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions decide what it does; a run records those that are installed."""

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().split("\n", maxsplit=1)[0]


def kind(cls: type[Capability]) -> str:
    """Return the kind of a capability: the name, in small letters, of the contract it fulfils."""
    contract = next((base for base in cls.__mro__ if Capability in base.__bases__), Capability)
    return contract.__name__.lower()
