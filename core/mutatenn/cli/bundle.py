"""``mutatenn bundle``: pack an environment's mutants for a device without a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mutatenn.api.command import Command
from mutatenn.host.hookspecs import hookimpl
from mutatenn.printable import one_line, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mutatenn.host.plugin_host import PluginHost


class BundleCommand(Command):
    """Pack an environment's mutants for a device without a network."""

    name = "bundle"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("run", metavar="RUN", help="the run directory; `mutatenn run` plans it")
        parser.add_argument("--environment", metavar="NAME", required=True, help="the environment to pack")
        parser.add_argument("--out", metavar="FILE", help="the archive (default: RUN/bundles/NAME.zip)")

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Write the archive and tell what to do with it."""
        from mutatenn.offline.bundle import bundle

        directory = Path(args.run)
        archive = Path(args.out) if args.out else directory / "bundles" / f"{args.environment}.zip"
        manifest = bundle(directory, args.environment, archive, host, _told())
        size, ended = archive.stat().st_size / 2**20, len(manifest["ended"])
        mutants = f"{len(manifest['mutants'])} mutants to run, {ended} that need not"
        print(one_line(f"wrote {archive}: {mutants}, {size:.1f} MiB"))
        print(
            printable(
                f"on the device: python3 -m zipfile -e {archive.name} . && python3 {archive.stem}/run.py"
            )
        )
        print(printable(f"then here:     mutatenn ingest {directory} results.zip"))
        return 0


def _told() -> Callable[[str], None]:
    """Return what shows progress on a terminal."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda mutant: print(f"\r\x1b[K{printable(mutant)}", end="", file=sys.stderr, flush=True)


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [BundleCommand]
