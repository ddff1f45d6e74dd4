"""Takes the results of a bundle into its run, as if they had been got here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mutatenn.campaign.execution.reopen import continued
from mutatenn.campaign.execution.trials import TrialBook
from mutatenn.campaign.gate import gate
from mutatenn.campaign.gate.take_original import take_original
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import BaselineError, InputError
from mutatenn.offline.bundle import identity
from mutatenn.offline.results import PackedResults

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.store import Store


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
    with continued(directory, host) as (setup, store):
        classes, shard_images = setup.model.output.shape[-1], store.meta("shard_images")
        with PackedResults.opened(archive, store.ids(), setup.image_count, shard_images, classes) as results:
            environment = _environment(store, results)
            _take_baseline(setup, store, environment, results)
            return _take_mutants(setup, store, environment, results)


def _environment(store: Store, results: PackedResults) -> str:
    """Return where the bundle ran; raises InputError unless it is of this run."""
    manifest = results.manifest
    environment: str = manifest["label"].get("environment", "")
    if store.meta(f"bundle:{environment}") != identity(manifest):
        raise InputError("it is of another run, or of a bundle made before this run was planned anew")
    if not set(store.trials(environment)).issuperset([*manifest["mutants"], *manifest["ended"]]):
        raise InputError("it tells of mutants that this run has not planned there; give what run.py wrote")
    return environment


def _take_baseline(setup: Setup, store: Store, environment: str, results: PackedResults) -> None:
    """Check how the original did, and keep it."""
    earlier = store.baselines().get(environment)
    if earlier is not None and not earlier.problems:
        return
    first, second, seconds = results.original()
    reference = call_isolated(lambda: setup.run_framework(environment))
    of_variant = setup.source is not None and setup.environment(environment).model is not None
    source = call_isolated(lambda: setup.run_framework(str(setup.source))) if of_variant else None
    measured = gate.BaselineOutputs(first, second, seconds)
    baseline = take_original(setup, store, environment, measured, reference, source=source)
    if baseline.problems:
        raise BaselineError(f"the original fails the baseline gate there: {'; '.join(baseline.problems)}")


def _take_mutants(setup: Setup, store: Store, environment: str, results: PackedResults) -> Ingested:
    """Keep what was seen of every mutant, and judge it."""
    book = TrialBook(setup, store, environment)
    before = store.tallies.statuses(environment).keys()
    planned = set(store.trials(environment)) - before
    for shard, seen in results.observations():
        if seen.mutant in planned:
            book.take(seen, shard)
    book.conclude(planned)
    judged = len(store.tallies.statuses(environment)) - len(before)
    return Ingested(environment, judged, len(planned) - judged)
