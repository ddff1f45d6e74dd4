"""Tables as notebooks show them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mutatenn.printable import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST = 200


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of HTML; what stands in its cells is text, whatever it holds."""
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f"<th>{_text(name)}</th>" for name in head)
    inside = f"<thead><tr>{names}</tr></thead><tbody>{body}</tbody>"
    return f"<table><caption>{_text(title)}</caption>{inside}</table>"


def _text(value: object) -> str:
    return escape(shortened(value, LONGEST))
