"""The images of a campaign: which files, under which names, of which true classes."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mutatenn.campaign.inputs.truth import true_classes
from mutatenn.errors import InputError
from mutatenn.globbing import files
from mutatenn.nearest import entries, missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mutatenn.campaign.config.values import DatasetSection


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
    """Find the images and their true classes (see :mod:`mutatenn.campaign.inputs.truth`).

    An image's name is its file name; where two folders hold the same file name, all names are paths relative
    to the folders' common parent. ``limit`` takes the first names in sorted order; of several folders, as
    many from each as it can.

    Raises InputError for a pattern that matches no file, an image without a class, or an unusable CSV file.
    """
    named = _named({path for pattern in section.images for path in matching_files(pattern)})
    images = {name: named[name] for name in _limited(named, section.limit)}
    _check_names(images)
    return Dataset(tuple(images), tuple(images.values()), true_classes(section.truth, images, named.values()))


def _limited(named: Mapping[str, Path], limit: int | None) -> list[str]:
    """Return the names of so many images, sorted; of each folder the first ones."""
    turns, taken = Counter[Path](), dict[str, tuple[int, str]]()
    for name in sorted(named):
        folder = named[name].parent
        taken[name] = (turns[folder], name)
        turns[folder] += 1
    return sorted(sorted(taken, key=taken.__getitem__)[:limit])


def matching_files(pattern: str) -> list[Path]:
    """Return the absolute paths of the files that an absolute glob pattern matches (``**`` crosses folders).

    Raises InputError if there are none, or too much to look at.
    """
    found = [Path(os.path.abspath(path)) for path in files(pattern)]
    if not found:
        raise InputError(f"no image matches {os.path.basename(pattern)!r}: {_why_none(pattern)}")
    return found


def _why_none(pattern: str) -> str:
    bracketed = _as_written(pattern)
    if bracketed is not None:
        return f"brackets stand for one of several characters; write {glob.escape(bracketed)!r}"
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


def _as_written(pattern: str) -> str | None:
    """Return the name of a part of a pattern, a file or folder that exists with its brackets."""
    part, *_ = [path for path in (Path(pattern), *Path(pattern).parents) if "[" in path.name] or [
        Path(pattern)
    ]
    parent = _literal(str(part.parent))
    return part.name if parent is not None and "[" in part.name and (parent / part.name).exists() else None


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
