"""Files the user names: beside the campaign file, or bundled with the package as ``mutatenn:NAME``."""

from __future__ import annotations

import glob
import os
from importlib import resources
from pathlib import Path

from mutatenn.errors import InputError
from mutatenn.globbing import files
from mutatenn.nearest import suggestion

PREFIX = "mutatenn:"


def data_folder() -> Path:
    """Return the folder of the bundled files."""
    return Path(str(resources.files("mutatenn").joinpath("data")))


def bundled() -> list[str]:
    """Return the names that ``mutatenn:`` can stand before: models, and each folder's images as a pattern."""
    kept = (path for path in data_folder().rglob("*.*") if path.is_file() and path.suffix != ".md")
    found = (path.relative_to(data_folder()) for path in kept)
    named = (path if path.parent == Path() else path.parent / f"*{path.suffix}" for path in found)
    return sorted({path.as_posix() for path in named})


def resolve_path(text: str, base: Path) -> Path:
    """Return the absolute path of a file: bundled, or relative to ``base`` (``~`` is the home folder).

    Symbolic links are kept, because the suffix of the link may decide how the file is read. Raises
    InputError for a bundled file that does not exist.
    """
    if not text.startswith(PREFIX):
        return Path(os.path.abspath(base / os.path.expanduser(text)))
    return Path(_bundled(text, data_folder() / text.removeprefix(PREFIX)))


def resolve_pattern(text: str, base: Path) -> str:
    """Return the absolute form of a glob pattern: bundled, or relative to ``base``, itself never a pattern.

    Raises InputError for a bundled pattern that no file matches.
    """
    if not text.startswith(PREFIX):
        return os.path.abspath(os.path.join(glob.escape(str(base)), os.path.expanduser(text)))
    folder = glob.escape(str(data_folder()))
    return _bundled(text, os.path.join(folder, text.removeprefix(PREFIX)))


def _bundled(text: str, place: str | Path) -> str:
    name = text.removeprefix(PREFIX)
    inside = ".." not in name.split("/") and not name.startswith("/")
    if inside and name and (os.path.exists(place) or any(files(str(place)))):
        return str(place)
    known = [PREFIX + item for item in bundled()]
    near = suggestion(text, known)
    raise InputError(f"nothing bundled is called {text!r}; give {' or '.join(known)}{near}")
