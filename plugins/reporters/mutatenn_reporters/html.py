"""The html reporter: everything about a run on one page, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn import Reporter, hookimpl
from mutatenn_reporters._writing import writing, wrote

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn import Run

FILE = "report.html"


@attrs.define(kw_only=True, eq=False)
class Html(Reporter):
    """Writes report.html: a page that needs no network, to look at, filter, send and print.

    It holds everything it shows, and its policy (CSP) lets it ask nobody for anything. ``thumbnails`` puts
    small pictures of the images into it that came closest to noticing a fault; they are ``thumbnail_side``
    pixels high or wide at most.
    """

    name: ClassVar[str] = "html"
    thumbnails: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    thumbnail_side: int = attrs.field(
        default=56,
        validator=[attrs.validators.instance_of(int), attrs.validators.ge(8), attrs.validators.le(256)],
    )

    def report(self, run: Run, directory: Path) -> str:
        """Write ``report.html`` into the directory, creating it; return where it is.

        Raises InputError if it cannot be written.
        """
        from mutatenn_reporters._html.page import render

        with writing(directory / FILE) as file:
            pieces = render(run, pictures=self.thumbnails, side=self.thumbnail_side)
            file.writelines(piece.encode() for piece in pieces)
        return wrote(directory / FILE)


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``html``."""
    return [Html]
