"""``mutatenn report``: present a run, finished or not."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import TYPE_CHECKING

from mutatenn.api.command import Command
from mutatenn.border import broken, calling
from mutatenn.cli._reporters import add_reporter, check_names, open_reporters
from mutatenn.cli._thresholds import TELLING, add_thresholds, conclude, demanding, demands, earlier
from mutatenn.errors import InfrastructureError, InputError, MutatennError, PluginError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mutatenn.campaign.config.values import ReporterSpec
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.reporter import Reporter
    from mutatenn.results.run import Run

DEFAULT, TOGETHER = "terminal", "tables"
"""The reporter of a run, and that of several."""
STEERING = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
"""Characters that do something to a terminal, but for colours, tabs and line feeds."""


class ReportCommand(Command):
    """Present a run, finished or interrupted."""

    name = "report"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "runs",
            metavar="RUN",
            nargs="+",
            help=f"a run directory; several, of the same images, are reported together (default: {TOGETHER})",
        )
        add_reporter(parser, [DEFAULT], "; files go to RUN/report, of the first RUN")
        add_thresholds(parser)
        parser.epilog = "Exit codes: 0 done, 1 a threshold failed, 2 wrong input, 4 a reporter failed."

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print what the reporters return; the exit code tells whether a threshold failed."""
        import mutatenn

        check_names(args.reporter, host)
        if len(args.runs) > 1:
            return _together(args, host)
        run = demanding(mutatenn.open_run(args.runs[0]), demands(args), earlier(args))
        reporters = open_reporters(_options(run, host), args.reporter, [DEFAULT], host)
        code = conclude(run, run.failed_thresholds, told=TELLING in reporters)
        present(run, reporters)
        return code


def _together(args: argparse.Namespace, host: PluginHost) -> int:
    """Print what the reporters make of several runs."""
    import mutatenn

    if demands(args) or args.against is not None:
        raise InputError("thresholds and --against are of one run; name one, or leave them out")
    runs = [mutatenn.open_run(path) for path in args.runs]
    reporters = open_reporters(_options(runs[0], host), args.reporter or [TOGETHER], [], host)
    _present(runs[0].directory, reporters, lambda each, folder: each.report_together(runs, folder))
    return 0


def _options(run: Run, host: PluginHost) -> tuple[ReporterSpec, ...]:
    """Return the reporters of a run's campaign file; without it there are no options."""
    from mutatenn.campaign.config.load import load_reporters
    from mutatenn.results.run import CAMPAIGN_FILE

    path = run.directory / CAMPAIGN_FILE
    return load_reporters(path, host.reporters()) if path.exists() else ()


def present(run: Run, reporters: Mapping[str, Reporter]) -> None:
    """Print what each reporter makes of a run; files go to its folder ``report``.

    If some failed, raises an error that names them, after the others have worked.
    """
    _present(run.directory, reporters, lambda each, folder: each.report(run, folder))


def _present(
    parent: Path, reporters: Mapping[str, Reporter], report: Callable[[Reporter, Path], str]
) -> None:
    directory = parent / "report"
    if directory.is_symlink():
        raise InputError(f"{directory} is a link, and reports are not written through it; remove it")
    with contextlib.suppress(OSError):  # a reporter that writes no file does not need it
        directory.mkdir(exist_ok=True)
    failures = [_attempt(name, each, report, directory) for name, each in reporters.items()]
    if errors := [error for error in failures if error]:
        mended = all(isinstance(error, InputError) for error in errors)  # by the user, with the same reporter
        raise (InputError if mended else InfrastructureError)("; ".join(map(str, errors)))


def _attempt(
    name: str, reporter: Reporter, report: Callable[[Reporter, Path], str], directory: Path
) -> Exception | None:
    """Print what one reporter makes of a run; return how it failed, if it did."""
    try:
        with calling(reporter, "report"):
            text = report(reporter, directory)
        if not isinstance(text, str):
            raise broken(reporter, "report", "a string", text)
        if text:
            print(_harmless(text.rstrip("\n")))
    except BrokenPipeError:  # nobody reads on
        raise
    except PluginError as error:  # must not silence the next
        return error
    except InputError as error:
        return InputError(f"reporter {name!r} failed: {error}")
    except (MutatennError, OSError) as error:
        return InfrastructureError(f"reporter {name!r} failed: {type(error).__name__}: {error}")
    return None


def _harmless(text: str) -> str:
    """Return what a reporter made as standard output can show it, without what could steer the terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    return STEERING.sub("?", text.encode(encoding, "replace").decode(encoding))
