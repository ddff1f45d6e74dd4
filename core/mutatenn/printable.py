"""Text that cannot steer a terminal: names of files, models and plugins are not trusted."""

from __future__ import annotations

import signal

LONGEST = 500
"""Characters of a line that tells something: enough for a path and a sentence."""
GAP = " ... "
MINUTE, HOUR = 60, 3600


def printable(text: object) -> str:
    """Return the text with ``?`` for whatever is not printable.

    That is every control character, line breaks and escapes among them, what reverses the direction of
    writing, and what is no text at all, such as a lone surrogate.
    """
    shown = str(text)
    return shown if shown.isprintable() else "".join(char if char.isprintable() else "?" for char in shown)


def one_line(text: object) -> str:
    """Return the printable text on one line; any white space is one space."""
    return printable(" ".join(str(text).split()))


def shortened(text: object, longest: int = LONGEST) -> str:
    """Return the text as :func:`one_line` does, without its middle where it has more characters."""
    line = one_line(text)
    if len(line) <= longest:
        return line
    kept = longest - len(GAP)
    head, tail = line[: kept - kept // 2], line[-(kept // 2) :]
    if " " in head and " " in tail:  # no word is cut, where there are words
        head, tail = head.rpartition(" ")[0], tail.partition(" ")[2]
    return head + GAP + tail


def counted(number: int, noun: str) -> str:
    """Return ``1 image``, ``2 images``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def signal_name(number: int) -> str:
    """Return ``SIGSEGV``, or ``signal 77`` for one that has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def duration(seconds: float) -> str:
    """Return ``5 ms``, ``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < HOUR else f"{seconds / HOUR:.1f} h"
