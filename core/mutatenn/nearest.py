"""What a user may have meant by a name that does not exist."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


SHOWN = 20
"""Names of a list that may have very many."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name closest to this one, or ``""`` if none is close."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return one line about an unknown name of some kind (``"backend"``): the nearest one, or else all."""
    names = sorted(known)
    some = ", ".join([*names[:SHOWN], f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else names)
    return f"unknown {kind} {name!r}" + (suggestion(name, names) or f"; known: {some or 'none'}")


def missing(path: Path, kind: str = "file") -> str:
    """Return one line about a file or folder that is not there: where it should be, the nearest name."""
    folder = path.parent
    if os.path.isfile(folder):
        return f"no {kind} {path.name!r} in {str(folder)!r}, which is a file, not a folder; give it by itself"
    if os.path.islink(path):
        return f"the {kind} {path.name!r} in {str(folder)!r} is a link that leads nowhere; mend or remove it"
    if not os.path.isdir(folder):
        return missing(folder, "folder")
    return f"no {kind} {path.name!r} in {str(folder)!r}{suggestion(path.name, entries(folder))}"


def entries(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none if it is missing or cannot be listed."""
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError):
        return []
