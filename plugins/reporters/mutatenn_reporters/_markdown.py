"""Text as Markdown shows it, whatever it holds."""

from __future__ import annotations

import re

from mutatenn_reporters._text import cut

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$@]|:(?=//))")
LONGEST = 1000


def plain(text: object, longest: int = LONGEST) -> str:
    """Return text in which Markdown finds nothing of its own."""
    return SPECIAL.sub(r"\\\1", cut(text, longest))


def code(text: object, longest: int = LONGEST) -> str:
    """Return text as a span of code, whatever back-ticks are in it; for the cell of a table, too."""
    line = cut(text, longest).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def block(text: str, language: str) -> str:
    """Return lines as a block of code, whatever back-ticks are in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
