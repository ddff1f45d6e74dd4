"""The images of a campaign: which files, under which names, of which true classes."""

from __future__ import annotations

import csv
import functools
import hashlib
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mutatenn.campaign.config.values import FILENAME_PREFIX
from mutatenn.errors import InputError
from mutatenn.globbing import files
from mutatenn.nearest import entries, missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mutatenn.campaign.config.values import DatasetSection

LARGEST_CSV = 2**28
"""Bytes of a file of true classes, enough for millions of images."""
_HEADER = re.compile(r"(image|file|name|filename),(class|label)", re.IGNORECASE)


@attrs.frozen(slots=False)
class Dataset:
    """Image files in the order of their unique names, and their true classes where these are known."""

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    truth: tuple[int, ...] | None = None

    @functools.cached_property
    def digests(self) -> list[str]:
        """The sha256 (hex) of every image file, read once; raises InputError for one that cannot be read."""
        try:
            return [_digest(path) for path in self.paths]
        except OSError as error:
            raise InputError(f"cannot read image {error.filename!r}: {error.strerror}; put it back") from None


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def open_dataset(section: DatasetSection) -> Dataset:
    """Find the images and their true classes.

    An image's name is its file name; where two folders hold the same file name, all names are paths relative
    to the folders' common parent. ``limit`` takes the first names in sorted order. True classes come from
    the number that file names begin with (``0007_cat.png``), or from a CSV file (UTF-8) of two columns, name
    and class, whose header, if any, says image (file, name, filename) and class (label). Rows about other
    images are ignored.

    Raises InputError for a pattern that matches no file, an image without a class, or an unusable CSV file.
    """
    named = _named({path for pattern in section.images for path in matching_files(pattern)})
    names = sorted(named)[: section.limit]
    _check_names(names)
    return Dataset(tuple(names), tuple(named[name] for name in names), _truth(section, names))


def matching_files(pattern: str) -> list[Path]:
    """Return the absolute paths of the files that an absolute glob pattern matches (``**`` crosses folders).

    Raises InputError if there are none, or too much to look at.
    """
    found = [Path(os.path.abspath(path)) for path in files(pattern)]
    if not found:
        raise InputError(f"no image matches {os.path.basename(pattern)!r}: {_why_none(pattern)}")
    return found


def _why_none(pattern: str) -> str:
    literal = _literal(pattern)
    if literal is not None and not os.path.isdir(literal):
        return missing(literal)
    folder = next(parent for path in Path(pattern).parents if (parent := _literal(str(path))) is not None)
    if literal is not None:
        folder, held = literal, f"give a pattern such as '{literal.name}/*.png'"
    elif not os.path.isdir(folder):
        return missing(folder, "folder")
    else:
        counts = Counter(os.path.splitext(name)[1] or "other" for name in entries(folder))
        held = "it holds " + (", ".join(f"{n} {kind}" for kind, n in counts.most_common(5)) or "nothing")
    return f"the folder {str(folder)!r} exists; {held}"


def _literal(pattern: str) -> Path | None:
    """Return the path that a pattern without wildcards stands for."""
    bare = re.sub(r"\[([*?[])\]", "", pattern)
    return None if re.search(r"[*?[]", bare) else Path(re.sub(r"\[([*?[])\]", r"\1", pattern))


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    ordered = sorted(paths)
    named = {path.name: path for path in ordered}
    if len(named) < len(ordered):
        parent = os.path.commonpath([path.parent for path in ordered])
        named = {path.relative_to(parent).as_posix(): path for path in ordered}
    return named


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if re.search(r"[\ud800-\udfff]", name):  # how Python shows bytes that are not UTF-8
            raise InputError(f"the file name {name!a} is not UTF-8; rename the file")


def _truth(section: DatasetSection, names: Sequence[str]) -> tuple[int, ...] | None:
    if section.truth is None:
        return None
    if section.truth == FILENAME_PREFIX:
        return tuple(_prefix(name) for name in names)
    path = Path(section.truth)
    classes = _labels(path)
    absent = [name for name in names if name not in classes]
    if absent:
        raise InputError(
            f"{path}: no class for {len(absent)} of {len(names)} images; add a row for {absent[0]!r}"
        )
    return tuple(classes[name] for name in names)


def _prefix(name: str) -> int:
    base = name.rpartition("/")[2]
    found = re.match(r"([0-9]{1,9})_", base)
    if not found:
        cure = f"name it 0007_{base} if class 7 is right, or give truth = 'labels.csv'"
        raise InputError(f"{name} has no class prefix; {cure}")
    return int(found[1])


def _labels(path: Path) -> dict[str, int]:
    classes: dict[str, int] = {}
    for line, row in _rows(path):
        name, label = _row(path, line, row)
        if name in classes:
            raise InputError(f"{path}, line {line}: {name!r} is there twice; keep one row for each image")
        classes[name] = label
    return classes


def _row(path: Path, line: int, row: list[str]) -> tuple[str, int]:
    if len(row) != 2:  # noqa: PLR2004 - name and class
        raise InputError(f"{path}, line {line}: {len(row)} columns; expected two, image name and class")
    name, label = row[0].strip(), row[1].strip()
    if not re.fullmatch(r"[0-9]{1,9}", label):
        raise InputError(
            f"{path}, line {line}: class {label!r} is not a number; give the class's index, from 0"
        )
    return name, int(label)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with content, without the header, and their line numbers."""
    try:
        if path.stat().st_size > LARGEST_CSV:
            raise InputError(f"{path}: larger than {LARGEST_CSV >> 20} MiB; give a CSV file of image,class")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                header = reader.line_num == 1 and _HEADER.fullmatch(",".join(map(str.strip, row)))
                if row and not header:
                    yield reader.line_num, row
    except OSError as error:
        raise InputError(
            f"cannot read {str(path)!r}: {error.strerror}; give a CSV file of image,class"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error}); save it as one") from None
