"""The files that a TensorFlow model is made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mutatenn import InputError
from mutatenn_frontends._shared import files

if TYPE_CHECKING:
    from pathlib import Path

SAVED_MODEL = "saved_model.pb"
VARIABLES = "variables"
KIND = "a SavedModel directory or a frozen graph"


def is_saved_model(source: Path) -> bool:
    """Tell whether this is the directory of a SavedModel."""
    return (source / SAVED_MODEL).is_file()


def name(source: Path) -> str:
    """Return what to call the model: a SavedModel by its directory."""
    file = graph_file(source.absolute())
    return file.parent.name if file.name == SAVED_MODEL else file.stem


def graph_file(source: Path) -> Path:
    """Return the file that holds the graph: in a SavedModel directory, its ``saved_model.pb``.

    Raises InputError for another directory.
    """
    if source.is_dir() and not is_saved_model(source):
        raise InputError(f"is a directory without {SAVED_MODEL}; give {KIND}")
    return source / SAVED_MODEL if source.is_dir() else source


def content(file: Path) -> bytes:
    """Return a file's content; raises InputError if it cannot be read."""
    return files.content(file, KIND, ".pb")


def digest(source: Path, more: str) -> str:
    """Return the sha256 (hex) of the graph, of the variables beside a SavedModel's, and of ``more``."""
    file = graph_file(source)
    found = hashlib.sha256(content(file))
    if file.name == SAVED_MODEL:
        for values in sorted((file.parent / VARIABLES).glob("variables.*")):
            found.update(values.name.encode())
            found.update(content(values))
    found.update(more.encode())
    return found.hexdigest()
