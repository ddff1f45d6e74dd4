"""Sets the campaign of a run directory up again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mutatenn.campaign.execution import provenance
from mutatenn.campaign.execution.run_directory import open_run_directory
from mutatenn.campaign.execution.setup import set_up
from mutatenn.errors import InputError
from mutatenn.results.run import CAMPAIGN_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.run import Run
    from mutatenn.results.store import Store


def reopened(run: Run, host: PluginHost) -> Setup:
    """Return a run's campaign, set up again; raises InputError if its model or images have changed since."""
    setup = set_up(run.directory / CAMPAIGN_FILE, host)
    if provenance.identity(setup) != run.identity:
        raise InputError(f"the model or images of {run.directory} have changed since it ran; run it again")
    return setup


@contextlib.contextmanager
def continued(directory: Path, host: PluginHost) -> Iterator[tuple[Setup, Store]]:
    """Set the campaign of a run directory up again, and open its database for writing.

    Raises InputError as :func:`open_run_directory` does.
    """
    setup = set_up(directory / CAMPAIGN_FILE, host)
    with open_run_directory(directory, setup) as store:
        yield setup, store
