"""Standard output and error: always there, and never written to by what is not printable."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING

from mutatenn.printable import printable, shortened

if TYPE_CHECKING:
    from mutatenn.errors import MutatennError

MOST_LINES = 100


def prepare_streams() -> None:
    """Give this process both streams, if it was started without, and let no character fail on them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


class OneLine(logging.Formatter):
    """Writes a record as one line; only the trace of an exception has more."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the trace below it."""
        line = f"mutatenn: {shortened(record.getMessage())}"
        if record.exc_info is None or record.exc_info[1] is None:
            return line
        return "\n".join([line, *_trace(record.exc_info[1])])


def tell(text: object) -> None:
    """Print one line of this text on standard error."""
    with contextlib.suppress(OSError, ValueError):  # nobody listens any more
        print(f"mutatenn: {shortened(text)}", file=sys.stderr)


def tell_error(error: MutatennError) -> None:
    """Print an error on standard error: a line, and one more for each of several problems."""
    tell(f"error: {error.message}")
    more = [shortened(each) for each in error.problems[:MOST_LINES]]
    more += [f"and {len(error.problems) - MOST_LINES} more"] * (len(error.problems) > MOST_LINES)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.writelines(f"{line}\n" for line in more)


def tell_trace(error: BaseException) -> None:
    """Print the trace of an exception on standard error."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.writelines(f"{line}\n" for line in _trace(error))


def _trace(error: BaseException) -> list[str]:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return [printable(line) for line in lines]


def discard_output() -> None:
    """Point standard output at nothing if it cannot be written, so that Python's last flush cannot fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
