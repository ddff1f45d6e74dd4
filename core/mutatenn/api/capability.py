"""What all contributions of plugins have in common."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar


class Capability(ABC):
    """Anything a plugin contributes under a unique kebab-case name.

    The first line of the class docstring is its one-line summary. A capability with options is an
    ``attrs`` class whose fields (keyword-only, with defaults) are the options a campaign file may
    set.
    """

    name: ClassVar[str]

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().split("\n", maxsplit=1)[0]
