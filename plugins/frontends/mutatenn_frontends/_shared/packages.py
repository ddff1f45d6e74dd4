"""Tells which packages of an extra are missing."""

from __future__ import annotations

from importlib.util import find_spec

from mutatenn import InputError


def require(extra: str, *packages: str) -> None:
    """Raise InputError that names the packages that are not installed, and the extra; imports none."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise InputError(
            f"needs packages that are not installed ({', '.join(missing)}); install them: "
            f"pip install 'mutatenn[{extra}]'"
        )
