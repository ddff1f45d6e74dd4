"""Figures of matplotlib that look alike, whatever is drawn in them."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.errors import InputError
from mutatenn.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = {"text.parse_math": False, "svg.hashsalt": "mutatenn", "svg.fonttype": "none", "font.size": 9}
"""No name is taken for mathematics, and the same run gives the same file."""
LONGEST = 40


@attrs.frozen
class Picture:
    """A figure of matplotlib, which notebooks show, and :meth:`save` writes."""

    figure: Any

    def save(self, path: str | Path) -> None:
        """Write it into a file, in the format of its suffix: ``.svg``, ``.png``, ``.pdf``."""
        with _settings():
            self.figure.savefig(path, dpi=150, metadata={"Date": None} if str(path).endswith("svg") else None)

    def _repr_svg_(self) -> str:
        buffer = io.StringIO()
        with _settings():
            self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()


def plain_numbers(axis: Any) -> None:
    """Write the numbers of a logarithmic axis without exponents, which would need mathematics."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def cut(text: str, longest: int = LONGEST) -> str:
    """Return text on one line, of at most so many characters."""
    line = one_line(text)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def framed(width: float, height: float, title: str) -> tuple[Any, Any]:
    """Return a figure of so many inches with a title, and its axes.

    Raises InputError where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plots need matplotlib; install it: pip install 'mutatenn[plot]'") from None
    with _settings():
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.set_title(
            "\n".join(cut(line, 90) for line in title.splitlines()), loc="left", fontsize=10, weight="bold"
        )
        axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a font has not every letter
        yield
