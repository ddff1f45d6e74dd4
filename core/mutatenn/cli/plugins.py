"""``mutatenn plugins``: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.command import Command
from mutatenn.cli._text import columns
from mutatenn.host.admission import KINDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mutatenn.host.plugin_host import PluginHost, PluginRecord

COLUMNS = ("kind", "name", "distribution", "version", "state", "summary")


@attrs.frozen
class Row:
    """One line of the table, one object of the JSON list.

    A capability is a row; so is a plugin that provides none, because it is blocked or broken or only
    listens: then ``name`` is None and ``kind`` what the plugin's name promises, or None. ``plugin``
    is the entry point, the name that ``--block-plugin`` takes; ``module`` is where it lives. ``state``
    is ``active``, ``blocked``, ``broken`` or ``clash`` (others provide the same name); ``reason`` says why,
    and is empty for ``active``.
    """

    kind: str | None
    name: str | None
    plugin: str
    module: str
    distribution: str
    version: str
    state: str
    reason: str
    summary: str


class PluginsCommand(Command):
    """List the installed plugins and what they provide."""

    name = "plugins"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print a list of objects")
        parser.add_argument("--kind", choices=tuple(KINDS), help="only what is of this kind")

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print one row per capability, and one per plugin that provides none."""
        rows = [row for record in host.records for row in _rows(record) if args.kind in (None, row.kind)]
        order: list[str | None] = [*KINDS, None]
        rows.sort(key=lambda row: (order.index(row.kind), row.name or row.plugin, row.distribution))
        if args.json:
            print(json.dumps([attrs.asdict(row) for row in rows], indent=2))
        else:
            print(columns([COLUMNS, *map(_cells, rows)], whole=any(row.reason for row in rows)))
        return 0


def _rows(record: PluginRecord) -> Iterator[Row]:
    origin = (record.name, record.target, record.distribution, record.version)
    for each in record.provides:
        state = "clash" if each.clash else "active"
        yield Row(each.kind, each.name, *origin, state, each.clash, each.summary)
    if not record.provides:
        kind = record.kinds[0] if record.kinds else None
        yield Row(kind, None, *origin, record.state, record.reason, record.summary)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.kind or "-",
        row.name or row.plugin,
        row.distribution,
        row.version,
        row.state,
        row.reason or row.summary,
    )
