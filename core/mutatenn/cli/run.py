"""``mutatenn run``: run a campaign, or continue it."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mutatenn.api.command import Command
from mutatenn.cli._reporters import add_reporter, check_names, open_reporters
from mutatenn.cli._streams import tell
from mutatenn.cli._thresholds import TELLING, add_thresholds, conclude, demanding, demands, earlier
from mutatenn.cli.init import write_starter
from mutatenn.cli.report import present
from mutatenn.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable

    from mutatenn.campaign.config.values import Campaign
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.reporter import Reporter
    from mutatenn.results.run import Run

PAGE = "html"
REPORTERS = (PAGE, "json", "terminal")
FAILED = 4
RAW_PIXELS = (
    "warning: preprocess.mean and std are not set, so pixels go in as 0 to 255; give what the model was "
    "trained with, or mean = 0 and std = 1 if this is right"
)


class RunCommand(Command):
    """Run a campaign, or continue it where it stopped."""

    name = "run"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", metavar="FILE", help="the campaign file; or, with --images, a model")
        parser.add_argument(
            "--images",
            metavar="IMAGES",
            help="run the model on these, a folder or a pattern such as 'photos/*.jpg': writes a campaign "
            "file first, as `mutatenn init` does",
        )
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
        loud = parser.add_mutually_exclusive_group()
        for flag, short, progress, told in (
            ("--quiet", "-q", "none", "show nothing until the report"),
            ("--verbose", "-v", "mutants", "show how each mutant ended"),
        ):
            loud.add_argument(
                flag, short, dest="progress", action="store_const", const=progress, help=f"terminal: {told}"
            )
        parser.add_argument(
            "--live",
            action="store_true",
            help="serve report.html to this machine meanwhile, at the address that is printed",
        )
        add_thresholds(parser)
        parser.epilog = (
            "Exit codes: 0 done, 1 a threshold failed, 2 wrong input, 3 the original fails the "
            "baseline gate, 4 the machinery or a reporter failed, 130 interrupted."
        )

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Run the campaign, then let the reporters present it."""
        from mutatenn.campaign.execution.session import run_campaign

        workers, wanted, against = _workers(args.workers), demands(args), earlier(args)
        check_names(args.reporter, host)
        file = args.file if args.images is None else _written(args.file, args.images, host)
        reporters: dict[str, Reporter] = {}

        def choose(campaign: Campaign) -> Iterable[Reporter]:
            more = {TELLING: {"progress": args.progress}} if args.progress else {}
            names = args.reporter
            if args.live:
                more[PAGE] = {"live": True}
                names = [PAGE, *(names or [each.name for each in campaign.reporters] or REPORTERS)]
            reporters.update(open_reporters(campaign.reporters, names, REPORTERS, host, more))
            return reporters.values()

        def warn(setup: Setup) -> None:
            if setup.takes_raw_pixels:
                tell(RAW_PIXELS)

        try:
            run = run_campaign(
                file,
                args.out,
                choose,
                host,
                workers=workers,
                reuse=not args.no_reuse,
                only=args.only,
                warn=warn,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("run the same command again to continue") from None
        run = demanding(run, wanted, against)
        code = _conclude(run, reporters)
        present(run, reporters)
        return code


def _conclude(run: Run, reporters: Collection[str]) -> int:
    """Return the exit code; say on standard error what is wrong, ahead of the report and its score line."""
    from mutatenn.api.verdict import Status

    code = conclude(run, run.failed_thresholds, told=TELLING in reporters)
    if failed := run.score().counts[Status.INFRASTRUCTURE_ERROR]:
        mutants = f"{failed} mutant{'s' * (failed > 1)}"
        tell(f"{mutants} ended as infrastructure-error; run again to retry")
        code = code if run.thresholds.max_infrastructure_errors is not None else FAILED
    return code


def _written(model: str, images: str, host: PluginHost) -> str:
    """Write a campaign file named after the model into this folder, and return its name."""
    path = Path(f"{Path(re.split('[/:]', model.rstrip('/'))[-1]).stem or 'campaign'}.toml")
    if model.endswith(".toml"):
        raise InputError(f"--images goes with a model, and {model} is a campaign file: it has dataset.images")
    if os.path.lexists(path):
        raise InputError(f"{path} exists; run it (mutatenn run {shlex.quote(str(path))}), or move it away")
    tell(f"importing {model}, to write {path}")
    unset = write_starter(path, model, images, host)
    tell(f"wrote {path}" + (f"; set {', '.join(unset)} in it" if unset else ""))
    return str(path)


def _workers(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise InputError(f"--workers takes a number of processes, 1 or more, not {text!r}")
    return int(text)
