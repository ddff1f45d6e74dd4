"""The badge reporter: the mutation score as a small picture, for a README."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn import Reporter, hookimpl
from mutatenn_reporters._text import cut
from mutatenn_reporters._writing import write

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn import Run

LETTER, MARGIN = 7, 6
"""Pixels of a character, about, and beside a text."""
COLOURS = ((0.9, "#2e7d32"), (0.75, "#558b2f"), (0.5, "#b26a00"), (0.0, "#b3261e"))
UNKNOWN = "#6e7781"
LONGEST = 60


@attrs.define(kw_only=True, eq=False)
class Badge(Reporter):
    """Writes badge.svg for each environment: ``label`` and the mutation score in percent.

    Where there are several environments, the files are badge-NAME.svg.
    """

    name: ClassVar[str] = "badge"
    label: str = attrs.field(default="mutation score", validator=attrs.validators.instance_of(str))

    def report(self, run: Run, directory: Path) -> str:
        """Write the pictures into the directory, creating it; return where they are.

        Raises InputError if one cannot be written.
        """
        several = len(run.environments) > 1
        lines = []
        for name in run.environments:
            score = run.score(name)
            told = f"{100 * score.value:.0f} %" if score.valid else "unknown"
            label = cut(f"{self.label}, {name}" if several else self.label, LONGEST)
            colour = next((each for least, each in COLOURS if score.value >= least), UNKNOWN)
            path = directory / (f"badge-{name}.svg" if several else "badge.svg")
            lines.append(write(path, badge(label, told, colour)))
        return "\n".join(lines)


def badge(label: str, told: str, colour: str) -> str:
    """Return a picture (SVG) of two texts side by side."""
    left, right = (LETTER * len(text) + 2 * MARGIN for text in (label, told))
    whole, middle = left + right, left + right / 2
    name, value = escape(label), escape(told)
    font = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle" fill="#fff"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" '
        f'aria-label="{name}: {value}">\n<title>{name}: {value}</title>\n'
        f'<clipPath id="round"><rect width="{whole}" height="20" rx="3"/></clipPath>\n'
        f'<g clip-path="url(#round)"><rect width="{left}" height="20" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>\n'
        f'<g {font}><text x="{left / 2:g}" y="14" textLength="{left - 2 * MARGIN}">{name}</text>'
        f'<text x="{middle:g}" y="14" textLength="{right - 2 * MARGIN}">{value}</text></g>\n</svg>\n'
    )


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``badge``."""
    return [Badge]
