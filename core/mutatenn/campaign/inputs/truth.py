"""The true classes of images: from the names of files or folders, or from a CSV file."""

from __future__ import annotations

import csv
import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mutatenn.campaign.config.values import Truth

LARGEST_CSV = 2**28
"""Bytes of a file of true classes, enough for millions of images."""
_HEADER = re.compile(r"(image|file|name|filename|path),(class|label)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}")


def true_classes(
    truth: Path | Truth | None, images: Mapping[str, Path], every: Collection[Path]
) -> tuple[int, ...] | None:
    """Return the true class of every image, by name, or None where none are given.

    ``"filename-prefix"``: the number that file names begin with (``0007_cat.png``). ``"folder"``: the folder
    that an image is in; where all are numbers, that number, else its place among the names, sorted, of all
    folders beside it, as torchvision's ``ImageFolder`` counts. A path: a CSV file (UTF-8) of two columns,
    image and class, whose header, if any, says image (file, name, filename, path) and class (label). There
    an image is its file name, or that with folders before it, as many as make it one of ``every``, the images
    before ``limit``; what begins with ``..`` is relative to the CSV file. Rows about others are ignored.

    Raises InputError for an image without a class, or an unusable CSV file.
    """
    if truth is None:
        return None
    if truth == "filename-prefix":
        return tuple(map(_prefix, images))
    if truth == "folder":
        classes = _of_folders({path.parent for path in every})
        return tuple(classes[path.parent] for path in images.values())
    return _of_rows(Path(truth), images, every)


def _prefix(name: str) -> int:
    base = name.rpartition("/")[2]
    found = re.match(r"([0-9]{1,9})_", base)
    if not found:
        cure = f"name it 0007_{base} if class 7 is right, or give truth = 'labels.csv'"
        raise InputError(f"{name} has no class prefix; {cure}")
    return int(found[1])


def _of_folders(folders: Collection[Path]) -> dict[Path, int]:
    if all(_NUMBER.fullmatch(folder.name) for folder in folders):
        return {folder: int(folder.name) for folder in folders}
    beside = {
        entry.name
        for root in {each.parent for each in folders}
        for entry in os.scandir(root)
        if entry.is_dir()
    }
    ordered = sorted(name for name in beside if not name.startswith("."))
    return {folder: ordered.index(folder.name) for folder in folders}


def _of_rows(file: Path, images: Mapping[str, Path], every: Collection[Path]) -> tuple[int, ...]:
    classes = _labels(file)
    rows = {path: row for path in every if (row := _row_of(path, classes)) is not None}
    absent = [name for name, path in images.items() if path not in rows]
    if absent:
        raise InputError(
            f"{file}: no class for {len(absent)} of {len(images)} images; add a row for {absent[0]!r}"
        )
    _check_told_apart(file, rows)
    return tuple(classes[rows[path]] for path in images.values())


def _row_of(path: Path, classes: Mapping[str, int]) -> str | None:
    """Return what an image is called in the file: the longest of its path's ends that is there."""
    parts = path.as_posix().split("/")
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in classes), None)


def _check_told_apart(file: Path, rows: Mapping[Path, str]) -> None:
    first: dict[str, Path] = {}
    for path, row in rows.items():
        other = first.setdefault(row, path)
        if other != path:
            parent = os.path.commonpath([other.parent, path.parent])
            both = " or ".join(repr(each.relative_to(parent).as_posix()) for each in (other, path))
            raise InputError(f"{file}: {row!r} may be {both}; give each a row of its own, with its folder")


def _labels(file: Path) -> dict[str, int]:
    classes: dict[str, int] = {}
    for line, row in _rows(file):
        name, label = _row(file, line, row)
        if name in classes:
            raise InputError(f"{file}, line {line}: {name!r} is there twice; keep one row for each image")
        classes[name] = label
    return classes


def _row(file: Path, line: int, row: list[str]) -> tuple[str, int]:
    if len(row) != 2:  # noqa: PLR2004 - name and class
        raise InputError(f"{file}, line {line}: {len(row)} columns; expected two, image name and class")
    name, label = row[0].strip(), row[1].strip()
    if not _NUMBER.fullmatch(label):
        raise InputError(
            f"{file}, line {line}: class {label!r} is not a number; give the class's index, from 0"
        )
    return _normal(name, file.parent), int(label)


def _normal(name: str, folder: Path) -> str:
    """Return a name without detours, from the root where it leads out of the CSV file's folder."""
    plain = posixpath.normpath(name.replace("\\", "/"))
    return posixpath.normpath(f"{folder.as_posix()}/{plain}") if plain.startswith("../") else plain


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with content, without the header, and their line numbers."""
    try:
        if file.stat().st_size > LARGEST_CSV:
            raise InputError(f"{file}: larger than {LARGEST_CSV >> 20} MiB; give a CSV file of image,class")
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened)
            for row in reader:
                header = reader.line_num == 1 and _HEADER.fullmatch(",".join(map(str.strip, row)))
                if row and not header:
                    yield reader.line_num, row
    except OSError as error:
        raise InputError(
            f"cannot read {str(file)!r}: {error.strerror}; give a CSV file of image,class"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: not a CSV file in UTF-8 ({error}); save it as one") from None
