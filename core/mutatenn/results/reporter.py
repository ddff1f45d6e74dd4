"""The contract of a reporter."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.capability import Capability

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn.results.run import Run


@attrs.define(kw_only=True)
class Reporter(Capability):
    """Presents a campaign.

    During a campaign a reporter is registered with the plugin host: a subclass may mark event methods
    (``mutatenn_trial_finished`` and so on) with ``@hookimpl`` to follow along.
    """

    @abstractmethod
    def report(self, run: Run, directory: Path) -> str:
        """Present the finished (or interrupted) run; write files, if any, into ``directory``.

        The directory may not exist. Returns what to print on standard output, possibly nothing, without
        control characters. Raises InputError for a run that it cannot present, or a file it cannot write.
        """
