"""The reporters of a command: those it is given, or those of the campaign file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.reporter import Reporter


def add_reporter(parser: argparse.ArgumentParser, default: Sequence[str], more: str = "") -> None:
    """Declare ``--reporter``."""
    parser.add_argument(
        "--reporter",
        metavar="NAME",
        action="append",
        default=[],
        help="a reporter; may be repeated (default: those of the campaign file, or else "
        f"{' and '.join(default)}){more}",
    )


def open_reporters(
    campaign: str | Path, names: Sequence[str], default: Sequence[str], host: PluginHost
) -> dict[str, Reporter]:
    """Return reporters by name, each with the options that the campaign file has for it.

    Raises InputError for one that does not exist, or options that it does not take.
    """
    from mutatenn.campaign.config.load import load_reporters
    from mutatenn.host.options import create

    known = host.reporters()
    for name in names:
        host.get("reporter", name)  # an unknown one is told before anything of the file
    path = Path(campaign)
    specs = load_reporters(path, known) if path.exists() else ()  # gone? told by who needs it
    options = {spec.name: spec.options for spec in specs}
    wanted = dict.fromkeys(names or options or default)
    return {name: create(host.get("reporter", name), options.get(name, {})) for name in wanted}
