"""The contract of a reporter."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.capability import Capability
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
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

    def report_together(self, runs: Sequence[Run], directory: Path) -> str:  # noqa: ARG002  # as report
        """Present several runs, of several machines say, as one; otherwise as :meth:`report`.

        Raises InputError, as this does, if the reporter presents one run at a time.
        """
        raise InputError(f"it presents one run at a time, not {len(runs)}; name one")
