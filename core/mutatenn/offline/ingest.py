"""Takes the results of a bundle into its run, as if they had been got here."""

from __future__ import annotations

import contextlib
import json
import re
import stat
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

from mutatenn.api.executor import Observation
from mutatenn.campaign.execution.reopen import continued
from mutatenn.campaign.execution.trials import TrialBook
from mutatenn.campaign.gate import gate
from mutatenn.campaign.gate.take_original import take_original
from mutatenn.campaign.promises import run_reference
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import BaselineError, InputError
from mutatenn.offline.pack import identity
from mutatenn.offline.records import (
    MOST_SECONDS,
    OVERHEAD,
    load_arrays,
    observation_bytes,
    opened,
    read_member,
    read_observation,
)
from mutatenn.offline.runner import MANIFEST, ORIGINAL, RESULTS
from mutatenn.typed import conforms

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.store import Store

LARGEST_MANIFEST, LARGEST_ENTRY = 2**24, 2**14
"""Bytes of a manifest without its mutants, and of what it tells of one."""
MEMBER = re.compile(rf"{RESULTS}/(?:{re.escape(ORIGINAL)}|[0-9]{{1,9}}/[^/\\\0]+\.npz)")
KINDS: dict[str, Any] = {
    "run": str,
    "environment": str,
    "original": str,
    "mutants": tuple[str, ...],
    "ended": dict[str, tuple[Literal["equivalent", "build-error"], str]],
}
"""What is used of a manifest."""


@attrs.frozen
class Ingested:
    """What came of it: the environment, the mutants that got a verdict, and those that are still to run."""

    environment: str
    judged: int
    waiting: int


def ingest(directory: Path, archive: Path, host: PluginHost) -> Ingested:
    """Take the results of a bundle into a run: the baseline, then every mutant's observation and verdict.

    Raises InputError for what is damaged, or belongs to another run or bundle; BaselineError if the original
    fails the gate there.
    """
    with continued(directory, host) as (setup, store), _opened(setup, store, archive) as zipped:
        results = Results(setup, store, zipped, _manifest(store, archive, zipped))
        try:
            results.take_baseline()
            return results.take_mutants()
        except InputError as error:
            raise InputError(f"{archive}: {error}") from error


@contextlib.contextmanager
def _opened(setup: Setup, store: Store, archive: Path) -> Iterator[zipfile.ZipFile]:
    """Open the results, which are a file no larger than those of all mutants on all images can be."""
    try:
        about = archive.stat()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {archive}: {why}; give the results.zip that run.py wrote") from None
    if not stat.S_ISREG(about.st_mode) or about.st_size > _most_bytes(setup, store):
        raise InputError(f"{archive} is no results of a bundle; give the results.zip that run.py wrote")
    with opened(archive, archive) as zipped:
        yield zipped


def _manifest(store: Store, archive: Path, zipped: zipfile.ZipFile) -> dict[str, Any]:
    """Return the manifest of the bundle; raises InputError unless it is of this run."""
    _check_names(archive, zipped)
    try:
        manifest: dict[str, Any] = json.loads(read_member(zipped, MANIFEST, _most(store)))
        if missing := KINDS.keys() - manifest.keys():
            raise ValueError(f"no {min(missing)}")  # noqa: TRY301  # told below
        if wrong := [key for key, kind in KINDS.items() if not conforms(manifest[key], kind)]:
            raise ValueError(f"{wrong[0]} is {repr(manifest[wrong[0]])[:80]}")  # noqa: TRY301
    except (InputError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{archive} holds no results of a bundle ({error}); give what run.py wrote"
        ) from None
    if store.meta(f"bundle:{manifest['environment']}") != identity(manifest):
        raise InputError(f"{archive} is of another run, or of a bundle made before this run was planned anew")
    planned = set(store.trials(manifest["environment"]))
    if not planned.issuperset([*manifest["mutants"], *manifest["ended"]]):
        raise InputError(f"{archive} tells of mutants that this run has not planned; give what run.py wrote")
    return manifest


def _most_bytes(setup: Setup, store: Store) -> int:
    """Return how many bytes the results take at most."""
    images, classes = len(setup.images), setup.model.output.shape[-1]
    shards: int = store.meta("shards")
    each = observation_bytes(min(images, store.meta("shard_images")), classes)
    return _most(store) + observation_bytes(2 * images, classes) + shards * len(store.ids()) * each


def _most(store: Store) -> int:
    """Return how many bytes the manifest takes at most."""
    return LARGEST_MANIFEST + sum(LARGEST_ENTRY + 2 * len(name) for name in store.ids())


def _check_names(archive: Path, zipped: zipfile.ZipFile) -> None:
    """Raise InputError for members that no run.py writes: twice, elsewhere, or links."""
    seen = set[str]()
    for about in zipped.infolist():
        name, link = about.filename, stat.S_ISLNK(about.external_attr >> 16)
        if link or name in seen or not (name == MANIFEST or MEMBER.fullmatch(name)):
            raise InputError(f"{archive} holds {name!r}, which run.py does not write so; give what it wrote")
        seen.add(name)


@attrs.define(eq=False)
class Results:
    """The results of a bundle, and the run's database they go to."""

    setup: Setup
    store: Store
    zipped: zipfile.ZipFile
    manifest: dict[str, Any]

    @property
    def environment(self) -> str:
        """Where the bundle ran."""
        return str(self.manifest["environment"])

    def take_baseline(self) -> None:
        """Check how the original did, and keep it."""
        earlier = self.store.baselines().get(self.environment)
        if earlier is not None and not earlier.problems:
            return
        first, second, seconds = self._original()
        setup = self.setup
        reference = call_isolated(lambda: run_reference(setup.frontend, setup.model, setup.images))
        measured = gate.BaselineOutputs(first, second, seconds)
        baseline = take_original(setup, self.store, self.environment, measured, reference)
        if baseline.problems:
            raise BaselineError(f"the original fails the baseline gate there: {'; '.join(baseline.problems)}")

    def _original(self) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """Return the original's outputs of two runs, and its seconds per image."""
        expected = (len(self.setup.images), self._classes)
        size = 4 * expected[0] * expected[1]
        name = f"{RESULTS}/{ORIGINAL}"
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

    @property
    def _classes(self) -> int:
        return self.setup.model.output.shape[-1]

    def take_mutants(self) -> Ingested:
        """Keep what was seen of every mutant, and judge it."""
        book = TrialBook(self.setup, self.store, self.environment)
        before = self.store.tallies.statuses(self.environment).keys()
        planned = set(self.store.trials(self.environment)) - before
        for shard, seen in self._observations(book.shards):
            if seen.mutant in planned:
                book.take(seen, shard)
        book.conclude(planned)
        judged = len(self.store.tallies.statuses(self.environment)) - len(before)
        return Ingested(self.environment, judged, len(planned) - judged)

    def _observations(self, shards: list[slice]) -> Iterator[tuple[int, Observation]]:
        """Yield (shard, observation), duplicates after what they are duplicates of."""
        for mutant, (outcome, message) in self.manifest["ended"].items():
            yield 0, Observation(mutant, outcome, message)
        later: list[tuple[int, Observation]] = []
        there = set(self.zipped.namelist())
        for shard, part in enumerate(shards):
            images = len(self.setup.images[part])
            for mutant in self.manifest["mutants"]:
                name = f"{RESULTS}/{shard}/{mutant}.npz"
                if name in there:
                    seen = self._checked(name, mutant, images)
                    if seen.outcome == "duplicate":
                        later.append((shard, seen))
                    else:
                        yield shard, seen
        yield from later

    def _checked(self, name: str, mutant: str, images: int) -> Observation:
        content = read_member(self.zipped, name, observation_bytes(images, self._classes))
        try:
            seen = read_observation(content, images, self._classes)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if seen.mutant != mutant:
            raise InputError(f"{name} is not of this mutant and these images; run the bundle again")
        return seen
