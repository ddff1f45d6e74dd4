"""Reads the archives that torch.export.save writes, without PyTorch and without running what they hold."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import InputError
from mutatenn_frontends._shared import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAVE = "save the model with torch.export.save"
DAMAGED = f"is not an exported program, or is damaged or cut short; {SAVE}, or download it again"
PROGRAM = "models/model.json"
FOLDERS = {"weights": "weight_", "constants": "tensor_"}
"""The folders of tensors, and how the names of plain ones begin; others are pickled objects."""


@attrs.frozen
class Archive:
    """The program, parsed, and every member that holds plain tensors or tells of them."""

    program: Any
    tensors: dict[str, bytes]

    def rebuild(self, program: Any) -> io.BytesIO:
        """Return an archive for torch.export.load of this program and the tensors, and nothing else."""
        members = {
            "archive_format": b"pt2",
            "archive_version": b"0",
            ".data/version": b"6",
            "byteorder": b"little",
            PROGRAM: json.dumps(program).encode(),
            "data/sample_inputs/model.pt": b"",  # a pickle in the original
            **self.tensors,
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in members.items():
                archive.writestr(f"model/{name}", content)
        buffer.seek(0)
        return buffer


def read(source: Path) -> tuple[Archive, str]:
    """Return what the file holds and its sha256 (hex); raises InputError if it is no exported program."""
    content = files.content(source, "a .pt2 file", ".pt2")
    if content.startswith(b"\x80"):
        raise InputError(f"is a pickle, which may run any code, not an exported program; {SAVE}")
    try:
        archive = _archive(content)
    except InputError:
        raise
    except Exception as error:  # zipfile and json raise many kinds for damaged files
        raise InputError(DAMAGED) from error
    return archive, hashlib.sha256(content).hexdigest()


def _archive(content: bytes) -> Archive:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        root = names[0].split("/")[0] if names else ""
        _refuse_other_kinds([name.removeprefix(f"{root}/") for name in names])
        tensors = dict(item for folder in FOLDERS for item in _tensors(archive, root, folder))
        return Archive(json.loads(archive.read(f"{root}/{PROGRAM}")), tensors)


def _refuse_other_kinds(names: list[str]) -> None:
    """Raise InputError that says what kind of file of PyTorch this is, if it is no exported program."""
    if any(name.startswith("code/") for name in names) or "constants.pkl" in names:
        raise InputError(f"is TorchScript, not an exported program; {SAVE}")
    if "data.pkl" in names:
        raise InputError(f"is what torch.save wrote, a pickle that may run any code; {SAVE}")
    if "serialized_exported_program.json" in names:
        raise InputError("was exported with PyTorch 2.7 or older; export it with the release installed here")
    if PROGRAM not in names:
        raise InputError(f"holds no exported program; {SAVE}")


def _tensors(archive: zipfile.ZipFile, root: str, folder: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of the table of tensors in a folder, then of each file that it names."""
    table = f"data/{folder}/model_{folder}_config.json"
    content = archive.read(f"{root}/{table}")
    entries = json.loads(content)["config"].values()
    if any(entry["use_pickle"] or not entry["path_name"].startswith(FOLDERS[folder]) for entry in entries):
        raise InputError(
            "holds pickled objects, which may run any code; export a model whose weights and constants are "
            "plain tensors"
        )
    if any(entry["tensor_meta"]["device"]["type"] != "cpu" for entry in entries):
        raise InputError("has weights that are not on the CPU; call model.cpu() before torch.export.export")
    yield table, content
    for name in sorted({f"data/{folder}/{entry['path_name']}" for entry in entries}):
        yield name, archive.read(f"{root}/{name}")
