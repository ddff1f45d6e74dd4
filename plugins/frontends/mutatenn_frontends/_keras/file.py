"""Reads files that Keras saved, .keras archives and legacy HDF5 files, without Keras."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING

import attrs

from mutatenn import InputError
from mutatenn_frontends._keras import config as keras_config
from mutatenn_frontends._shared import files

if TYPE_CHECKING:
    from pathlib import Path

SAVE = "save it with model.save"
DAMAGED = f"is not a Keras model, or is damaged or cut short; {SAVE}, or download it again"
CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"
HDF5 = b"\x89HDF\r\n\x1a\n"
GROWTH, FREE = 8, 1 << 20
"""An archive may hold this many times its own size, and so many bytes (Keras does not compress)."""


@attrs.frozen
class File:
    """What Keras gets to see: an archive made anew from checked parts, or an HDF5 file not yet checked."""

    content: bytes
    suffix: str
    digest: str
    """The sha256 (hex) of the original."""


def read(source: Path) -> File:
    """Return the file; raises InputError if it is no Keras model, or one that holds more than layers."""
    content = files.content(source, "a .keras or .h5 file", ".keras")
    digest = hashlib.sha256(content).hexdigest()
    if content.startswith(HDF5):
        return File(content, ".h5", digest)
    if not content.startswith(b"PK"):
        raise InputError(DAMAGED)
    try:
        return File(_rebuild(content), ".keras", digest)
    except InputError:
        raise
    except Exception as error:  # zipfile and json raise many kinds for damaged files
        raise InputError(DAMAGED) from error


def _rebuild(content: bytes) -> bytes:
    """Return an archive of the checked configuration and the weights, and nothing else."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _require_members(archive, len(content))
        config = parse(archive.read(CONFIG))
        metadata = {"keras_version": _version(archive.read(METADATA)), "date_saved": ""}
        weights = archive.read(WEIGHTS)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, json.dumps(config))
        archive.writestr(WEIGHTS, weights)
    return buffer.getvalue()


def _require_members(archive: zipfile.ZipFile, size: int) -> None:
    names = archive.namelist()
    if CONFIG not in names or METADATA not in names:
        raise InputError(f"is a zip archive, but holds no Keras model; {SAVE}")
    if WEIGHTS not in names:
        raise InputError(f"holds no {WEIGHTS}; {SAVE}, not in parts")
    if len(set(names)) < len(names):
        raise InputError(f"holds several members of one name; {SAVE}")
    wanted = sum(archive.getinfo(name).file_size for name in (CONFIG, METADATA, WEIGHTS))
    if wanted > GROWTH * size + FREE:  # zipfile never gives more than a member declares
        raise InputError(
            f"is compressed too much: {wanted:,} bytes in a file of {size:,}, as archives that are made to "
            f"fill the memory are; {SAVE}, which does not compress"
        )


def parse(text: bytes | str) -> object:
    """Return the checked configuration of a model from its JSON; raises InputError."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(DAMAGED) from error
    return keras_config.check(config)


def _version(metadata: bytes) -> str:
    found = json.loads(metadata).get("keras_version")
    return found if isinstance(found, str) else ""
