"""What comes back of a packed job: a zip of observations, held to what its runner can have written."""

from __future__ import annotations

import contextlib
import json
import re
import stat
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

from mutatenn.api.executor import Observation
from mutatenn.engine.shards import shards
from mutatenn.errors import InputError
from mutatenn.offline.records import (
    MOST_SECONDS,
    OVERHEAD,
    load_arrays,
    observation_bytes,
    opened,
    read_member,
    read_observation,
)
from mutatenn.typed import conforms

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 3
MANIFEST = "manifest.json"
ORIGINAL = "original"
RESULTS = "results"
RESULTS_FILE = f"{RESULTS}.zip"
LARGEST_MANIFEST, LARGEST_ENTRY = 2**24, 2**14
"""Bytes of a manifest without its mutants, and of what it tells of one."""
MEMBER = re.compile(rf"{RESULTS}/(?:{ORIGINAL}\.npz|[0-9]{{1,9}}/[^/\\\0]+\.npz)")
KINDS: dict[str, Any] = {
    "label": dict[str, str],
    "original": str,
    "mutants": tuple[str, ...],
    "ended": dict[str, tuple[Literal["equivalent", "build-error"], str, str]],
}
"""What is used of the manifest that comes back."""


@attrs.frozen(eq=False)
class PackedResults:
    """The results of a job on so many images, of which ``shard_images`` ran together."""

    zipped: zipfile.ZipFile
    manifest: dict[str, Any]
    images: int
    classes: int
    shard_images: int

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, archive: Path, mutants: Collection[str], images: int, shard_images: int, classes: int
    ) -> Iterator[PackedResults]:
        """Open results that tell of no other mutants than these; raises InputError for anything else.

        What is read later raises InputError, too, with the name of the archive.
        """
        manifest_bytes = LARGEST_MANIFEST + sum(LARGEST_ENTRY + 2 * len(name) for name in mutants)
        each = observation_bytes(min(images, shard_images), classes)
        count = len(shards(images, shard_images)) * len(mutants)
        _check_file(archive, manifest_bytes + observation_bytes(2 * images, classes) + count * each)
        with opened(archive, archive) as zipped:
            _check_names(archive, zipped)
            manifest = _manifest(archive, zipped, manifest_bytes)
            if not set(mutants).issuperset([*manifest["mutants"], *manifest["ended"]]):
                raise InputError(f"{archive} tells of mutants that were not packed; give what run.py wrote")
            try:
                yield cls(zipped, manifest, images, classes, shard_images)
            except InputError as error:
                raise InputError(f"{archive}: {error}") from error

    def original(self) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """Return the original's outputs ``[images, classes]`` of two runs, and its seconds per image."""
        expected = (self.images, self.classes)
        size = 4 * expected[0] * expected[1]
        name = f"{RESULTS}/{ORIGINAL}.npz"
        content = read_member(self.zipped, name, 2 * size + 8 + 4 * OVERHEAD)
        arrays = load_arrays(content, {"first": size, "second": size, "seconds": 8})
        first, second, seconds = (arrays[name] for name in ("first", "second", "seconds"))
        if not (first.shape == second.shape == expected and first.dtype == second.dtype == np.float32):
            raise InputError(
                f"the original's outputs are {first.dtype}{list(first.shape)}, not {list(expected)}"
            )
        if seconds.shape or seconds.dtype != np.float64 or not 0 <= seconds < MOST_SECONDS:
            raise InputError(f"{name} does not tell how long the original took; run the bundle again")
        return first, second, float(seconds)

    def observations(self) -> Iterator[tuple[int, Observation]]:
        """Yield (shard, observation), duplicates after what they are duplicates of."""
        for mutant, (outcome, message, program) in self.manifest["ended"].items():
            yield 0, Observation(mutant, outcome, message, program=program)
        later: list[tuple[int, Observation]] = []
        there = set(self.zipped.namelist())
        for shard, part in enumerate(shards(self.images, self.shard_images)):
            for mutant in self.manifest["mutants"]:
                name = f"{RESULTS}/{shard}/{mutant}.npz"
                if name in there:
                    seen = self._observation(name, mutant, part.stop - part.start)
                    if seen.outcome == "duplicate":
                        later.append((shard, seen))
                    else:
                        yield shard, seen
        yield from later

    def _observation(self, name: str, mutant: str, images: int) -> Observation:
        content = read_member(self.zipped, name, observation_bytes(images, self.classes))
        try:
            seen = read_observation(content, images, self.classes)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if seen.mutant != mutant:
            raise InputError(f"{name} is not of this mutant and these images; run the bundle again")
        return seen


def _check_file(archive: Path, most: int) -> None:
    """Raise InputError unless it is a file of at most so many bytes."""
    try:
        about = archive.stat()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {archive}: {why}; give the results.zip that run.py wrote") from None
    if not stat.S_ISREG(about.st_mode) or about.st_size > most:
        raise InputError(f"{archive} is no results of a bundle; give the results.zip that run.py wrote")


def _check_names(archive: Path, zipped: zipfile.ZipFile) -> None:
    """Raise InputError for members that no run.py writes: twice, elsewhere, or links."""
    seen = set[str]()
    for about in zipped.infolist():
        name, link = about.filename, stat.S_ISLNK(about.external_attr >> 16)
        if link or name in seen or not (name == MANIFEST or MEMBER.fullmatch(name)):
            raise InputError(f"{archive} holds {name!r}, which run.py does not write so; give what it wrote")
        seen.add(name)


def _manifest(archive: Path, zipped: zipfile.ZipFile, most: int) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(read_member(zipped, MANIFEST, most))
        if manifest.get("format") != FORMAT:
            raise ValueError("another version of mutatenn made it")  # noqa: TRY301  # told below
        if missing := KINDS.keys() - manifest.keys():
            raise ValueError(f"no {min(missing)}")  # noqa: TRY301  # told below
        if wrong := [key for key, kind in KINDS.items() if not conforms(manifest[key], kind)]:
            raise ValueError(f"{wrong[0]} is {repr(manifest[wrong[0]])[:80]}")  # noqa: TRY301
    except (InputError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{archive} holds no results of a bundle ({error}); give what run.py wrote"
        ) from None
    return manifest
