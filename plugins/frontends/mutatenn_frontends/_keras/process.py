"""Asks Keras in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn_frontends._shared import child, packages

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "mutatenn_frontends._keras.convert"


def require(*names: str) -> None:
    """Raise InputError that names the packages that are not installed."""
    packages.require("keras,torch" if "torch" in names else "keras", *names)


def ask(
    folder: Path, request: dict[str, Any], backend: str = "tensorflow", home: Path | None = None
) -> dict[str, Any]:
    """Return the answer to a request about the files in a folder, where others may be left.

    ``home`` is where Keras looks for its settings and keeps downloads, in place of where it usually does.
    Raises as :func:`mutatenn_frontends._shared.child.ask` does.
    """
    own = {"KERAS_BACKEND": backend} | ({"KERAS_HOME": str(home)} if home else {})
    request = {**request, "folder": str(folder)}
    answer, _ = child.ask("Keras's process", MODULE, request, environment=child.STEADY | own)
    return answer
