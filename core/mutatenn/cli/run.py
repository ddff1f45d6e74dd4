"""``mutatenn run``: run a campaign, or continue it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.api.command import Command
from mutatenn.cli._reporters import add_reporter, check_names, open_reporters
from mutatenn.cli._streams import tell
from mutatenn.cli._thresholds import TELLING, add_min_score, conclude, demanding, min_score
from mutatenn.cli.report import present
from mutatenn.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable

    from mutatenn.campaign.config.values import Campaign
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.reporter import Reporter
    from mutatenn.results.run import Run

REPORTERS = ("json", "terminal")
FAILED = 4


class RunCommand(Command):
    """Run a campaign, or continue it where it stopped."""

    name = "run"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", metavar="FILE", help="the campaign file")
        parser.add_argument("--out", metavar="DIR", help="the run directory (default: runs/NAME)")
        parser.add_argument("--workers", metavar="N", help="mutants at a time (default: one per processor)")
        parser.add_argument(
            "--no-reuse", action="store_true", help="compute every mutant from the first kernel, for checking"
        )
        parser.add_argument(
            "--only",
            metavar="MUTANT",
            action="append",
            default=[],
            help="run only this mutant, by id, its beginning, or a pattern with * and ?; may be repeated",
        )
        add_reporter(parser, REPORTERS)
        add_min_score(parser)
        parser.epilog = (
            "Exit codes: 0 done, 1 a threshold failed, 2 wrong input, 3 the original fails the "
            "baseline gate, 4 the machinery failed, 130 interrupted."
        )

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Run the campaign, then let the reporters present it."""
        from mutatenn.campaign.execution.session import run_campaign

        workers, least = _workers(args.workers), min_score(args)
        check_names(args.reporter, host)
        reporters: dict[str, Reporter] = {}

        def choose(campaign: Campaign) -> Iterable[Reporter]:
            reporters.update(open_reporters(campaign.reporters, args.reporter, REPORTERS, host))
            return reporters.values()

        try:
            run = run_campaign(
                args.file,
                args.out,
                choose,
                host,
                workers=workers,
                reuse=not args.no_reuse,
                only=args.only,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("run the same command again to continue") from None
        run = demanding(run, least)
        code = _conclude(run, reporters)
        present(run, reporters)
        return code


def _conclude(run: Run, reporters: Collection[str]) -> int:
    """Return the exit code; say on standard error what is wrong, ahead of the report and its score line."""
    from mutatenn.api.verdict import Status

    code = conclude(run.failed_thresholds, told=TELLING in reporters)
    if failed := run.score().counts[Status.INFRASTRUCTURE_ERROR]:
        mutants = f"{failed} mutant{'s' * (failed > 1)}"
        tell(f"{mutants} ended as infrastructure-error; run again to retry")
        code = FAILED
    return code


def _workers(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise InputError(f"--workers takes a number of processes, 1 or more, not {text!r}")
    return int(text)
