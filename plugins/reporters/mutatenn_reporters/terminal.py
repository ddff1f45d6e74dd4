"""The terminal reporter: progress while a campaign runs, tables and the score when it has ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn import Reporter, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn import Baseline, Run, Verdict
    from mutatenn_reporters._terminal.progress import Progress


@attrs.define(kw_only=True, eq=False)
class Terminal(Reporter):
    """Shows progress on a terminal or as plain lines, then a table per environment and the score.

    The last line of :meth:`report` is for programs: ``score 0.87 killed 87 survived 13 ...``, with ``low``
    and ``high`` after the score where it was sampled. A run in several environments has a line
    ``environment NAME score ...`` for each with mutants. Without mutants there are none.
    """

    name: ClassVar[str] = "terminal"
    progress: str = attrs.field(default="auto", validator=attrs.validators.in_(("auto", "mutants", "none")))
    """Whether what happens is shown meanwhile: bars or lines, a line for each mutant too, or nothing."""
    _progress: Progress | None = attrs.field(init=False, default=None)

    @hookimpl
    def mutatenn_stage_started(self, stage: str) -> None:
        """Show what begins."""
        if follows := self._follow():
            follows.stage(stage)

    @hookimpl
    def mutatenn_campaign_start(self, run: Run) -> None:
        """Show what is there to do."""
        if follows := self._follow():
            follows.start(run)

    def _follow(self) -> Progress | None:
        """Return what shows the progress, None for nothing."""
        from mutatenn_reporters._terminal.progress import open_progress

        if self._progress is None and self.progress != "none":
            self._progress = open_progress(sys.stdout)
        return self._progress

    @hookimpl
    def mutatenn_baseline_finished(self, baseline: Baseline) -> None:
        """Show how the original did."""
        if self._progress:
            self._progress.gate(baseline)

    @hookimpl
    def mutatenn_trial_finished(self, verdict: Verdict) -> None:
        """Count a mutant."""
        if self._progress:
            self._progress.advance(verdict, tell=self.progress == "mutants")

    @hookimpl
    def mutatenn_campaign_finish(self) -> None:
        """Leave the terminal as it was; called however the campaign ended."""
        if self._progress:
            self._progress.stop()
        self._progress = None

    def report(self, run: Run, directory: Path) -> str:  # noqa: ARG002  # it writes no file
        """Return tables and the score, in colour where standard output is a terminal that has colours."""
        from mutatenn_reporters._terminal.page import page

        return page(run, sys.stdout)


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``terminal``."""
    return [Terminal]
