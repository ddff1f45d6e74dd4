"""The table of one environment: a line per operator, grouped by category."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mutatenn import CATEGORIES, Status
from mutatenn_reporters._text import clean, ratio
from mutatenn_reporters._view import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn_reporters._view import View

# Headings of two lines, to keep the columns narrow.
HEADINGS = {
    "never-infected": ("never", "infected"),
    "timed-out": ("timed", "out"),
    "out-of-bounds": ("out of", "bounds"),
    "equivalent": ("equi-", "valent"),
    "build-error": ("build", "error"),
    "infrastructure-error": ("infra.", "error"),
    "not-run": ("not", "run"),
}
STYLES = {"survived": "yellow", "never-infected": "yellow", "infrastructure-error": "red", "not-run": "red"}
# Other columns are left out where they would hold nothing but zeros.
ALWAYS = ("killed", "survived")
ZERO, INVALID = ".", "invalid"
WIDTH = 80
NARROWEST = 3


def table(view: View) -> Text:
    """Return the table, as wide as it needs to be: what counts in no score shares a column beyond 80."""
    return _table(view, _keys(view))


def _keys(view: View) -> list[str]:
    """Return what the columns hold."""
    keys = ["sites", "mutants", *_telling(_total(view)), "score"]
    if max(map(len, _table(view, keys).plain.splitlines())) <= WIDTH:
        return keys
    return list(dict.fromkeys(INVALID if _counts_nowhere(key) else key for key in keys))


def invalid(view: View) -> str:
    """Return how many mutants count in no score, by status, where the table has one column for them."""
    if INVALID not in _keys(view):
        return ""
    counts = {key: number for key, number in view.score.counts.items() if number and _counts_nowhere(key)}
    told = ", ".join(f"{number} {status.replace('-', ' ')}" for status, number in counts.items())
    return f"{INVALID}: {told}"


def _counts_nowhere(key: str) -> bool:
    return key in set(Status) and not Status(key).valid


def _total(view: View) -> Row:
    sites = sum(row.sites for row in view.rows if row.mutants)
    return Row("all", "", sites, view.mutants, view.score, view.waiting)


def _table(view: View, keys: Sequence[str]) -> Text:
    rows, total = [row for row in view.rows if row.mutants], _total(view)
    lines = [(f" {clean(row.operator)}", row.category, _cells(row, keys)) for row in rows]
    lines.append((total.operator, "", _cells(total, keys)))
    name_width = max(len(name) for name, _, _ in lines)
    widths = [max(NARROWEST, *(len(cells[index]) for _, _, cells in lines)) for index in range(len(keys))]
    text = Text()
    text.append_text(_heading(keys, name_width, widths))
    previous = ""
    for name, category, cells in lines:
        if category not in {previous, ""}:
            text.append(f"\n{_title(category)}", "cyan")
        previous = category
        text.append(f"\n{name:<{name_width}}", "" if category else "bold")
        for piece in _styled(keys, cells, widths):
            text.append_text(piece)
    return text


def zeros(view: View) -> list[str]:
    """Return the statuses that have no column because no mutant ended so."""
    shown = (
        *_telling(Row("", "", 0, view.mutants, view.score, view.waiting)),
        "out-of-bounds",
        "unstable",
        "infrastructure-error",
    )
    return [status.replace("-", " ") for status in view.score.counts if status not in shown]


def _telling(total: Row) -> list[str]:
    counts = total.score.counts if total.score else {}
    keys = [status for status, number in counts.items() if number or status in ALWAYS]
    return [*keys, "not-run"] if total.waiting else [*keys]


def _cells(row: Row, keys: Sequence[str]) -> list[str]:
    """Return the row's cells as text; ``-`` for the score of nothing."""
    values: dict[str, int] = {"sites": row.sites, "mutants": row.mutants, "not-run": row.waiting}
    if row.score:
        values |= {str(status): number for status, number in row.score.counts.items()}
        values[INVALID] = row.score.judged - row.score.valid
    score = ratio(row.score.value) if row.score else ratio(float("nan"))
    return [score if key == "score" else str(values.get(key, 0) or ZERO) for key in keys]


def _heading(keys: Sequence[str], name_width: int, widths: list[int]) -> Text:
    """Return two lines of headings; widens the columns to hold them, in place.

    The first heading may reach over the names, so that its column stays as narrow as its numbers.
    """
    words = [HEADINGS.get(key, ("", key)) for key in keys]
    widths[1:] = [max(width, *map(len, word)) for width, word in zip(widths[1:], words[1:], strict=True)]
    upper = " ".join(f"{word[0]:>{width}}" for word, width in zip(words[1:], widths[1:], strict=True))
    lower = " ".join(f"{word[1]:>{width}}" for word, width in zip(words[1:], widths[1:], strict=True))
    first = max(1, name_width + 1 + widths[0] - len("operator"))
    return Text(f"{'':{name_width + 1 + widths[0]}} {upper}\noperator{words[0][1]:>{first}} {lower}", "bold")


def _styled(keys: Sequence[str], cells: Sequence[str], widths: Sequence[int]) -> Iterator[Text]:
    for key, cell, width in zip(keys, cells, widths, strict=True):
        style = "bold" if key == "score" else "dim" if cell == ZERO else STYLES.get(key, "")
        yield Text(f" {cell:>{width}}", style)


def _title(category: str) -> str:
    return f"{clean(category)} {CATEGORIES.get(category, '')}".rstrip()
