"""The matrix of mutants and environments as a picture (SVG), a row for each way to end."""

from __future__ import annotations

from collections import Counter, defaultdict
from html import escape
from typing import TYPE_CHECKING

import attrs

from mutatenn import STATUS_COLOURS, Status
from mutatenn_reporters._text import clean, count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mutatenn import Comparison, EndStatus


EDGE = 'stroke="#bbb" stroke-width="0.5"'
EDGES: dict[EndStatus, str] = {
    Status.INFRASTRUCTURE_ERROR: 'stroke="#c00"',
    "waiting": 'stroke="#666" stroke-dasharray="3 2"',
    "skipped": 'stroke="#666" stroke-dasharray="1 2"',
    "not-planned": 'stroke="#ddd" stroke-dasharray="1 2"',
}
WORDS: dict[EndStatus, str] = {Status.INFRASTRUCTURE_ERROR: "infra. error"}
SINGLE = 60  # up to so many mutants have a row each
PATTERNS = 6  # at most, of an operator are drawn, the others in one row
ROWS = 180  # as many as that, or two patterns of each operator
HEIGHT, GAP, LETTER, SMALL_LETTER = 17, 5, 6.6, 6.0
LONGEST = 46
HEADING = 24
MARK = "#c00"

Ends = dict[str, "tuple[EndStatus, ...]"]
"""How each mutant ended, environment by environment."""


@attrs.frozen
class Row:
    """Mutants of one operator: ``ends`` counts, by environment, how they ended."""

    label: str
    title: str
    diverges: bool
    ends: tuple[Mapping[EndStatus, int], ...]


def matrix(comparison: Comparison, name: str) -> str:
    """Return the picture as the text of an SVG file.

    Up to 60 mutants have a row each. Of more, those of an operator that behaved alike everywhere share a row,
    and so do those that diverge in the same way.
    """
    groups = _groups(comparison)
    return "\n".join(_Picture(comparison, name, groups).lines())


def _groups(comparison: Comparison) -> dict[str, list[Row]]:
    """Return the rows by operator."""
    sides = comparison.mutated
    found: dict[str, Ends] = defaultdict(dict)
    for mutant in comparison.planned():
        found[mutant.operator][mutant.id] = tuple(side.ended(mutant.id) for side in sides)
    if sum(map(len, found.values())) <= SINGLE:
        return {name: list(_single(name, ends, comparison)) for name, ends in found.items()}
    patterns = max(2, min(PATTERNS, ROWS // len(found)))
    return {name: list(_shared(name, ends, comparison, patterns)) for name, ends in found.items()}


def _single(operator: str, ends: Ends, comparison: Comparison) -> Iterator[Row]:
    for mutant in ends:
        yield _row(operator, [mutant], ends, diverges=comparison.diverges(mutant))


def _shared(operator: str, ends: Ends, comparison: Comparison, most: int) -> Iterator[Row]:
    """Yield a row of the mutants that behaved alike everywhere, then one for each way to diverge."""
    patterns: dict[tuple[EndStatus, ...], list[str]] = defaultdict(list)
    alike: list[str] = []
    for mutant, pattern in ends.items():
        (patterns[pattern] if comparison.diverges(mutant) else alike).append(mutant)
    if alike:
        yield _row(operator, alike, ends, diverges=False)
    ordered = sorted(patterns.values(), key=len, reverse=True)
    others = [mutant for mutants in ordered[most:] for mutant in mutants]
    for mutants in [*ordered[:most], *([others] if others else [])]:
        yield _row(operator, mutants, ends, diverges=True)


def _row(operator: str, mutants: Sequence[str], ends: Ends, *, diverges: bool) -> Row:
    columns = zip(*(ends[mutant] for mutant in mutants), strict=True)
    alone = mutants[0].removeprefix(f"{operator}.") if len(mutants) == 1 else ""
    some = ", ".join(mutants[:3]) + (", ..." if len(mutants) > 3 else "")  # noqa: PLR2004  # a tooltip
    return Row(alone or count(len(mutants), "mutant"), some, diverges, tuple(map(Counter, columns)))


@attrs.define
class _Picture:
    """Where things stand, in pixels."""

    comparison: Comparison
    name: str
    groups: dict[str, list[Row]]
    names: list[str] = attrs.field(init=False)
    operators: float = attrs.field(init=False)
    labels: float = attrs.field(init=False)
    column: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.names = [side.name for side in self.comparison.mutated]
        rows = [row for rows in self.groups.values() for row in rows]
        self.operators = 2 * GAP + _width(self.groups)
        self.labels = self.operators + _width(row.label for row in rows) + 2 * GAP
        self.column = max(104.0, _width(_cut(name, HEADING) for name in self.names)) + GAP

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file."""
        top = 74.0
        body = list(self._body(top))
        width = max(self.labels + self.column * len(self.names) + 70, 560)
        bottom = top + self._tall() + 2 * GAP
        size = f'width="{width:.0f}" height="{bottom + 46:.0f}" viewBox="0 0 {width:.0f} {bottom + 46:.0f}"'
        yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
        yield '<rect width="100%" height="100%" fill="#fff"/>'
        yield from self._head()
        yield from body
        yield from self._legend(bottom, width)
        yield "</svg>\n"

    def _tall(self) -> float:
        return sum(HEIGHT * len(rows) + GAP for rows in self.groups.values())

    def _head(self) -> Iterator[str]:
        diverging = self.comparison.divergences.total()
        mutants = sum(max(sum(c.values()) for c in row.ends) for rows in self.groups.values() for row in rows)
        yield _text(GAP * 2, 22, f"{self.name}: mutants by environment", size=15, weight="bold")
        yield _text(GAP * 2, 40, f"{count(mutants, 'mutant')}, {diverging} did not end alike", fill="#444")
        for number, name in enumerate(self.names):
            middle = self.labels + self.column * (number + 0.5)
            yield _text(middle, 64, _cut(name, HEADING), title=name, anchor="middle", weight="bold")

    def _body(self, top: float) -> Iterator[str]:
        y = top
        for operator, rows in self.groups.items():
            right = self.labels + self.column * len(self.names)
            yield f'<path d="M0 {y - GAP / 2:g}H{right:g}" stroke="#ccc"/>'
            yield _text(2 * GAP, y + 12, _cut(operator), title=operator)
            for row in rows:
                yield from self._row(row, y)
                y += HEIGHT
            y += GAP

    def _row(self, row: Row, y: float) -> Iterator[str]:
        yield _text(
            self.operators, y + 12, _cut(row.label), title=row.title, fill="#000" if row.diverges else "#666"
        )
        yield f'<g opacity="{1 if row.diverges else 0.6}">'
        for number, ends in enumerate(row.ends):
            yield from self._cell(ends, self.labels + self.column * number, y)
        yield "</g>"
        if row.diverges:
            right = self.labels + self.column * len(row.ends)
            yield _text(right + GAP, y + 12, "diverges", fill=MARK)

    def _cell(self, ends: Mapping[EndStatus, int], x: float, y: float) -> Iterator[str]:
        """Yield a bar: how large a share of the mutants ended how."""
        total, wide = sum(ends.values()), self.column - GAP
        for end in (end for end in STATUS_COLOURS if ends.get(end)):
            width = wide * ends[end] / total
            told = f"{ends[end]} {_words(end)}"
            fits = [
                t for t in (told if total > 1 else _words(end), str(ends[end])) if len(t) * LETTER < width
            ]
            yield _bar(x, y, width, end, told, word=fits[0] if fits else "")
            x += width

    def _legend(self, y: float, width: float) -> Iterator[str]:
        seen = {end for rows in self.groups.values() for row in rows for ends in row.ends for end in ends}
        x = 2.0 * GAP
        for end in (end for end in STATUS_COLOURS if end in seen):
            room = 18 + LETTER * len(_words(end)) + 12
            if x + room > width:
                x, y = 2.0 * GAP, y + HEIGHT
            yield _bar(x, y, 12, end, _words(end), tall=12)
            yield _text(x + 17, y + 10, _words(end))
            x += room


def _bar(
    x: float, y: float, width: float, end: EndStatus, title: str, *, word: str = "", tall: float = HEIGHT - 2
) -> str:
    fill, ink = STATUS_COLOURS[end]
    place = f'x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{tall:g}"'
    rect = f'<rect {place} fill="{fill}" {EDGES.get(end, EDGE)}><title>{escape(title)}</title></rect>'
    return rect + (_text(x + width / 2, y + 12, word, fill=ink, anchor="middle", size=10) if word else "")


def _text(
    x: float,
    y: float,
    text: str,
    *,
    title: str = "",
    fill: str = "#000",
    anchor: str = "start",
    size: int = 11,
    weight: str = "normal",
) -> str:
    about = f"<title>{escape(clean(title))}</title>" if title else ""
    style = f'fill="{fill}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:g}" {style}>{about}{escape(clean(text))}</text>'


def _words(end: EndStatus) -> str:
    return WORDS.get(end, end.replace("-", " "))


def _cut(text: str, longest: int = LONGEST) -> str:
    line = clean(text)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def _width(texts: Iterable[str]) -> float:
    return LETTER * max((len(_cut(text)) for text in texts), default=0)
