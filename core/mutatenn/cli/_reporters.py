"""The reporters of a command: those it is given, or those of the campaign file."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from mutatenn.campaign.config.values import ReporterSpec
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.reporter import Reporter


def add_reporter(parser: argparse.ArgumentParser, default: Sequence[str], more: str = "") -> None:
    """Declare ``--reporter``."""
    usual = " and ".join(filter(None, (", ".join(default[:-1]), default[-1])))
    parser.add_argument(
        "--reporter",
        metavar="NAME",
        action="append",
        default=[],
        help=f"a reporter; may be repeated (default: those of the campaign file, or else {usual}){more}",
    )


def check_names(names: Iterable[str], host: PluginHost) -> None:
    """Raise InputError for a reporter that does not exist: before any work, not after it."""
    for name in names:
        host.get("reporter", name)


def open_reporters(
    specs: Iterable[ReporterSpec],
    names: Sequence[str],
    default: Sequence[str],
    host: PluginHost,
    more: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, Reporter]:
    """Return reporters by name, each with the options that the campaign file's ``specs`` have for it.

    Options in ``more``, by reporter, go before them. Raises InputError for one that does not exist, or
    options that it does not take.
    """
    from mutatenn.host.options import create

    options = {spec.name: spec.options for spec in specs}
    wanted = dict.fromkeys(names or options or default)
    return {
        name: create(host.get("reporter", name), {**options.get(name, {}), **more.get(name, {})})
        for name in wanted
    }
