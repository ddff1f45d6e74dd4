"""Runs the survivors of a run on other images, and leaves the run as it is."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.verdict import Status
from mutatenn.campaign.config.values import DatasetSection, dump
from mutatenn.campaign.execution.session import run_campaign
from mutatenn.campaign.execution.setup import read
from mutatenn.errors import InputError
from mutatenn.results.run import CAMPAIGN_FILE
from mutatenn.results.wanted import Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.reporter import Reporter
    from mutatenn.results.run import Run


@contextlib.contextmanager
def tried(
    run: Run, environment: str, images: Sequence[str], host: PluginHost, reporters: Sequence[Reporter] = ()
) -> Iterator[tuple[Run, list[str]]]:
    """Run the survivors of an environment on images, given as absolute patterns; yield that run, and them.

    They are the same mutants, judged by the same oracles; ``reporters`` follow. The run is gone with the
    block. Raises InputError where none survived that the campaign does not accept, and as ``mutatenn.run``.
    """
    accepted = run.accepted
    survivors = [
        verdict.mutant
        for status in (Status.SURVIVED, Status.NEVER_INFECTED)
        for verdict in run.verdicts(environment, status)
        if verdict.mutant not in accepted
    ]
    if not survivors:
        raise InputError(f"no mutant survived in {environment}: there is nothing to try")
    campaign = read(run.directory / CAMPAIGN_FILE, host)
    campaign = attrs.evolve(
        campaign,
        dataset=DatasetSection(tuple(images)),
        environments=tuple(env for env in campaign.environments if env.name == environment),
        gate=attrs.evolve(campaign.gate, min_accuracy=None),
        thresholds=Thresholds(min_valid=0.0),
        stop=None,
        skip=(),
        accept=(),
    )
    with tempfile.TemporaryDirectory(prefix="mutatenn-") as folder:
        path = Path(folder) / CAMPAIGN_FILE
        path.write_text(dump(campaign), encoding="utf-8")
        out = Path(folder) / "run"
        yield (
            run_campaign(path, out, lambda _: reporters, host, workers=None, reuse=True, only=survivors),
            survivors,
        )
