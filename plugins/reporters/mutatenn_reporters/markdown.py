"""The markdown reporter: a page for pull requests, wikis and chats."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn import Reporter, hookimpl
from mutatenn_reporters._writing import write

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn import Run

FILE = "report.md"


@attrs.define(kw_only=True, eq=False)
class Markdown(Reporter):
    """Writes report.md: the answer, scores, operators, and the closest survivors with their code."""

    name: ClassVar[str] = "markdown"

    def report(self, run: Run, directory: Path) -> str:
        """Write ``report.md`` into the directory, creating it; return where it is.

        Raises InputError if it cannot be written.
        """
        from mutatenn_reporters._summary import summary

        return write(directory / FILE, "\n\n".join(summary(run)) + "\n")


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``markdown``."""
    return [Markdown]
