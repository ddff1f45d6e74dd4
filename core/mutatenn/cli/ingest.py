"""``mutatenn ingest``: take the results of a bundle into its run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mutatenn.api.command import Command
from mutatenn.host.hookspecs import hookimpl
from mutatenn.printable import one_line

if TYPE_CHECKING:
    import argparse

    from mutatenn.host.plugin_host import PluginHost


class IngestCommand(Command):
    """Take the results of a bundle into its run."""

    name = "ingest"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("run", metavar="RUN", help="the run directory that the bundle was made of")
        parser.add_argument(
            "results", metavar="RESULTS", help="the results.zip that the bundle's run.py wrote"
        )

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Take the results in and tell how many mutants have their verdict."""
        from mutatenn.offline.ingest import ingest

        found = ingest(Path(args.run), Path(args.results), host)
        judged = f"{found.judged} verdicts, {found.waiting} mutants have not run yet"
        print(one_line(f"environment {found.environment}: {judged}"))
        print(one_line(f"next: mutatenn report {args.run}"))
        return 0


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [IngestCommand]
