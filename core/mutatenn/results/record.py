"""What a run tells of an image and of a mutant, and where it keeps what a mutant changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mutatenn.results.notebook import html_table

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn.api.mutant import Mutant, Site
    from mutatenn.api.verdict import Verdict

CHANGE = "change.diff"
"""The unified diff of a mutant's code, in its folder."""


def changes_folder(directory: Path, mutant: str, environment: str = "") -> Path:
    """Return where a run directory keeps what a mutant changes, in one environment or, by folders, in all."""
    return directory / "mutants" / mutant / environment


@attrs.frozen
class Image:
    """An image of a run: its name, its true class (None where that is not known), and its sha256 (hex)."""

    name: str
    truth: int | None
    digest: str


@attrs.frozen
class Record:
    """A mutant and its verdict per environment (absent where it has none yet).

    ``skipped`` and ``accepted`` are the user's reasons not to run it, or to live with its survival; or empty.
    """

    mutant: Mutant
    verdicts: dict[str, Verdict]
    skipped: str = ""
    accepted: str = ""

    def _repr_html_(self) -> str:
        rows = [
            [name, each.status, ", ".join(each.by), each.killed, each.infected, each.propagated, each.message]
            for name, each in self.verdicts.items()
        ]
        head = ("environment", "status", "by", "killed", "infected", "propagated", "message")
        where = "; ".join(f"{site.unit} {site.ordinal} {site.detail}" for site in self.sites)
        return html_table(f"{self.id}: {where}", head, rows)

    @property
    def id(self) -> str:
        """The mutant's id."""
        return self.mutant.id

    @property
    def operator(self) -> str:
        """The operator's name."""
        return self.mutant.operator

    @property
    def category(self) -> str:
        """The operator's category."""
        return self.mutant.category

    @property
    def level(self) -> str:
        """``graph`` or ``kernel``."""
        return self.mutant.level

    @property
    def stage(self) -> str:
        """The stage at which the unit was mutated."""
        return self.mutant.stage

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where it was mutated."""
        return self.mutant.sites
