"""Has models of torchvision and of the user's own code exported, and keeps the files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import importlib_metadata

from mutatenn import InputError
from mutatenn_frontends._shared.child import ask
from mutatenn_frontends._shared.files import PREPROCESS

MODULE = "mutatenn_frontends._pytorch.export"
KEPT = 5
"""Exports of one source, the newest of which is the one in use."""
REQUEST = "source.json"


def obtain(scheme: str, name: str, cache: Path, folder: str, weights: str | None) -> Path:
    """Return the exported program of ``scheme:name``; raises InputError, without the name of the source.

    A model of torchvision is made once per release and weights; the user's code is asked every time.
    """
    if scheme == "python" and not all(name.partition(":")):
        raise InputError("give python:MODULE:FUNCTION")
    request = {"scheme": scheme, "name": name, "folder": folder, "weights": weights}
    made_of = {
        "weights": _digest(weights),
        "torch": _version("torch"),
        "torchvision": _version("torchvision"),
    }
    file = f"{name.rpartition(':')[2]}.pt2"
    place = cache / _short(json.dumps([name, made_of])) if scheme == "torchvision" else None
    if place is None or not place.exists():
        with tempfile.TemporaryDirectory(dir=cache, prefix=".new-", ignore_cleanup_errors=True) as new:
            wanted = {**request, "out": str(Path(new, file))}
            preset, _ = ask("the process that exports it", MODULE, wanted, environment={})
            Path(new, REQUEST).write_text(json.dumps({**made_of, **request}))
            if preset:
                Path(new, PREPROCESS).write_text(json.dumps(_preprocess(preset)))
            place = place or cache / _short(_digest(Path(new, file)))
            if not place.exists():
                Path(new).rename(place)
    os.utime(place)
    _tidy(cache)
    return place / file


def made_with(source: Path) -> dict[str, Any]:
    """Return the request that a file was made for; empty for other files."""
    try:
        found: dict[str, Any] = json.loads((source.parent / REQUEST).read_text())
    except (OSError, ValueError):
        return {}
    return found


def _preprocess(preset: dict[str, Any]) -> dict[str, Any]:
    """Return torchvision's preset as a campaign file's [preprocess] has it."""
    return {
        "resize": preset["resize_size"][0],
        "crop": preset["crop_size"][0],
        "mean": [round(255 * value, 4) for value in preset["mean"]],
        "std": [round(255 * value, 4) for value in preset["std"]],
        "resample": preset["interpolation"],
    }


def _tidy(cache: Path) -> None:
    """Drop all but the newest exports."""
    places = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    places.sort(key=lambda path: path.stat().st_mtime)
    for place in places[:-KEPT]:
        shutil.rmtree(place, ignore_errors=True)


def _version(package: str) -> str:
    found = list(importlib_metadata.distributions(name=package))
    return found[0].version if found else ""


def _digest(path: str | Path | None) -> str:
    if path is None:
        return ""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"its weights {path} cannot be read ({error.strerror}); check model.options"
        ) from error


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
