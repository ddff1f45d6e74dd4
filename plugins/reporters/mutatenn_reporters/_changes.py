"""What a mutant changes, read from the diff of its code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from mutatenn_reporters._text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn import Run

HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
LONGEST = 10_000
"""Characters of a diff where it is one of many things."""


@attrs.frozen
class Hunk:
    """Lines of the original from ``first`` on, counted from 1, and those that the mutant has there.

    Each line stands with how it begins in the diff: a space, ``-`` or ``+``.
    """

    first: int
    lines: tuple[tuple[str, str], ...]

    @property
    def original(self) -> list[str]:
        """The original's lines."""
        return [text for sign, text in self.lines if sign != "+"]

    @property
    def removed(self) -> tuple[int, int]:
        """The first and the last line of the original that others stand for; the last is before for none."""
        first, last = self._changed
        start = self.first + sum(sign != "+" for sign, _ in self.lines[:first])
        return start, start - 1 + sum(sign != "+" for sign, _ in self.lines[first:last])

    @property
    def added(self) -> list[str]:
        """The mutant's lines in the place of those."""
        first, last = self._changed
        return [text for sign, text in self.lines[first:last] if sign != "-"]

    @property
    def _changed(self) -> tuple[int, int]:
        """Where what is not the same begins and ends."""
        places = [place for place, (sign, _) in enumerate(self.lines) if sign != " "]
        return (places[0], places[-1] + 1) if places else (0, 0)


def hunks(diff: str) -> list[Hunk]:
    """Return the hunks of a unified diff; none where it is no diff."""
    found: list[tuple[int, list[tuple[str, str]]]] = []
    for line in diff.splitlines():
        begins = HUNK.match(line)
        if begins:
            found.append((max(1, int(begins[1])), []))
        elif found and line[:1] in {" ", "-", "+"}:
            found[-1][1].append((line[0], line[1:]))
    return [Hunk(first, tuple(lines)) for first, lines in found]


def diff_of(run: Run, mutant: str, environment: str) -> str:
    """Return the diff of a mutant's code in an environment, "" where there is none, without control codes."""
    text = run.changes(mutant).get(environment, "")
    return readable(text[text.find("@@") :] if text.startswith("--- ") else text)


def readable(text: str, longest: int = LONGEST) -> str:
    """Return lines of code without what is not printable, their indents kept; cut where they are many."""
    lines = list(_cleaned(text.splitlines()))
    shown: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > longest:
            return "\n".join([*shown, "..."])
        shown.append(line)
    return "\n".join(shown)


def _cleaned(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        code = line.expandtabs(4)
        indent = len(code) - len(code.lstrip(" "))
        yield code if code.isprintable() else " " * indent + clean(code[indent:])
