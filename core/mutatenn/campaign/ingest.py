"""Takes the results of a bundle into its run, as if they had been got here."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.executor import Observation
from mutatenn.campaign import gate, provenance
from mutatenn.campaign.bundle import identity
from mutatenn.campaign.directory import open_run_directory
from mutatenn.campaign.promises import run_reference
from mutatenn.campaign.run import CAMPAIGN_FILE
from mutatenn.campaign.setup import set_up
from mutatenn.engine.board import MANIFEST, ORIGINAL, RESULTS
from mutatenn.engine.isolate import call_isolated
from mutatenn.engine.parcel import load_arrays, read_observation
from mutatenn.errors import BaselineError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn.campaign.judge import Judge
    from mutatenn.campaign.run import Run
    from mutatenn.campaign.setup import Setup
    from mutatenn.host import PluginHost

LARGEST = 2**31
"""Bytes of one file in the results: more is no result of ours."""


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
    setup = set_up(directory / CAMPAIGN_FILE, host)
    with (
        open_run_directory(directory, setup.campaign, provenance.identity(setup)) as run,
        _opened(archive) as zipped,
    ):
        results = Results(setup, run, zipped, _manifest(run, archive, zipped))
        try:
            results.take_baseline()
            return results.take_mutants()
        except InputError as error:
            raise InputError(f"{archive}: {error}") from error


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {archive}: {error}; give the results.zip that run.py wrote") from None


def _manifest(run: Run, archive: Path, zipped: zipfile.ZipFile) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(zipped.read(MANIFEST))
        found, environment = identity(manifest), manifest["environment"]
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{archive} holds no results of a bundle ({error}); give what run.py wrote"
        ) from None
    if run.store.meta(f"bundle:{environment}") != found:
        raise InputError(f"{archive} is of another run, or of a bundle made before this run was planned anew")
    return manifest


@attrs.define(eq=False)
class Results:
    """The results of a bundle, and the run they go to."""

    setup: Setup
    run: Run
    zipped: zipfile.ZipFile
    manifest: dict[str, Any]

    @property
    def environment(self) -> str:
        """Where the bundle ran."""
        return str(self.manifest["environment"])

    def take_baseline(self) -> None:
        """Check how the original did, and keep it."""
        earlier = self.run.baselines.get(self.environment)
        if earlier is not None and not earlier.problems:
            return
        arrays = load_arrays(self._member(f"{RESULTS}/{ORIGINAL}"), ("first", "second", "seconds"))
        first, second = arrays["first"], arrays["second"]
        expected = (len(self.setup.images), self.setup.model.output.shape[-1])
        if not (first.shape == second.shape == expected and first.dtype == second.dtype == np.float32):
            raise InputError(
                f"the original's outputs are {first.dtype}{list(first.shape)}, not {list(expected)}"
            )
        setup = self.setup
        reference = call_isolated(lambda: run_reference(setup.frontend, setup.model, setup.images))
        measured = gate.Measured(first, second, float(arrays["seconds"]))
        scores = gate.scores_of(reference, setup.campaign.model.scores)
        baseline = gate.check(self.environment, measured, scores, setup.truth, setup.campaign.gate)
        self.run.store.set_baseline(baseline, first)
        setup.host.emit("mutatenn_baseline_finished", run=self.run, baseline=baseline)
        if baseline.problems:
            raise BaselineError(f"the original fails the baseline gate there: {'; '.join(baseline.problems)}")

    def take_mutants(self) -> Ingested:
        """Keep what was seen of every mutant, and judge it."""
        store, judge = self.run.store, self.run.judge(self.environment, self.setup.kill, self.setup.oracles)
        before = store.statuses(self.environment).keys()
        planned = set(store.trials(self.environment)) - before
        for shard, seen in self._observations():
            if seen.mutant in planned:
                store.add_observation(self.environment, shard, self._share(seen, shard))
        for mutant in planned:
            self._conclude(judge, mutant)
        judged = len(store.statuses(self.environment)) - len(before)
        return Ingested(self.environment, judged, len(planned) - judged)

    def _observations(self) -> Iterator[tuple[int, Observation]]:
        """Yield (shard, observation), duplicates after what they are duplicates of."""
        for mutant, (outcome, message) in self.manifest["ended"].items():
            yield 0, Observation(mutant, outcome, message)
        later: list[tuple[int, Observation]] = []
        size = self.run.store.meta("shard_images")
        for shard in range(self.run.store.meta("shards")):
            images = len(self.setup.images[shard * size : (shard + 1) * size])
            for mutant in self.manifest["mutants"]:
                name = f"{RESULTS}/{shard}/{mutant}.npz"
                if name in self.zipped.namelist():
                    seen = self._checked(name, mutant, images)
                    if seen.outcome == "duplicate":
                        later.append((shard, seen))
                    else:
                        yield shard, seen
        yield from later

    def _checked(self, name: str, mutant: str, images: int) -> Observation:
        try:
            seen = read_observation(self._member(name))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        classes = self.setup.model.output.shape[-1]
        whole = seen.outcome != "ran" or len(seen.infected) == images
        if seen.mutant != mutant or not whole or (len(seen.rows) and seen.outputs.shape[1:] != (classes,)):
            raise InputError(f"{name} is not of this mutant and these images; run the bundle again")
        return seen

    def _share(self, seen: Observation, shard: int) -> Observation:
        """Give a duplicate what was seen of the mutant whose program it has."""
        if seen.outcome != "duplicate":
            return seen
        first = self.run.store.observations(self.environment, seen.message).get(shard)
        if first is None:
            raise InputError(f"{seen.mutant} is a duplicate of {seen.message}, which is not in the results")
        return attrs.evolve(first, mutant=seen.mutant, seconds=seen.seconds)

    def _conclude(self, judge: Judge, mutant: str) -> None:
        seen = self.run.observation(self.environment, mutant)
        if seen is not None:
            verdict = judge.judge(seen)
            self.run.store.set_verdict(verdict)
            self.setup.host.emit("mutatenn_trial_finished", run=self.run, verdict=verdict)

    def _member(self, name: str) -> io.BytesIO:
        try:
            if self.zipped.getinfo(name).file_size > LARGEST:
                raise InputError(f"{name} is larger than any result; give what run.py wrote")
            return io.BytesIO(self.zipped.read(name))
        except KeyError:
            raise InputError(f"the results lack {name}; run the bundle to its end") from None
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{name} is damaged ({error}); copy the results again") from None
