"""One line on a terminal that tells how far something is."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(line: Callable[[int], str]) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows the line of what is done so far, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    shown = False

    def show(done: int) -> None:
        nonlocal shown
        shown = True
        print(f"\r{line(done)}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if shown:
            print(file=sys.stderr)
