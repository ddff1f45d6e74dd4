"""``mutatenn check``: whether a campaign file is sound, in a second; no model is imported, no image read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mutatenn.api.command import Command
from mutatenn.host.hookspecs import hookimpl
from mutatenn.printable import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mutatenn.campaign.execution.setup import Parts
    from mutatenn.host.plugin_host import PluginHost

EPILOG = """
Looks at the keys, the names and options of plugins, whether the model's file and the images are there, and at
the true classes. What only the model tells (its input and output, sites, layers) is left to `mutatenn plan`.
With --json, an object: "campaign" (its name), "model", "images" (how many), "environments", "operators" (the
names of all that the campaign asks for).
"""


class CheckCommand(Command):
    """Check a campaign file in a second, without importing the model."""

    name = "check"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", metavar="FILE", help="the campaign file")
        parser.add_argument("--json", action="store_true", help="print an object")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Tell what the file asks for; an error says what is wrong with it."""
        from mutatenn.campaign.execution.setup import look_over, read
        from mutatenn.cli._reporters import open_reporters

        parts = look_over(read(args.file, host), args.file, host)
        open_reporters(parts.campaign.reporters, (), (), host)
        operators = list(dict.fromkeys(_operators(parts, host)))
        model = parts.campaign.model
        about = {
            "campaign": parts.campaign.name,
            "model": str(model.path or model.source),
            "images": len(parts.dataset.names),
            "environments": [env.name for env in parts.campaign.environments],
            "operators": operators,
        }
        if args.json:
            print(json.dumps(about, indent=2))
            return 0
        environments = ", ".join(f"{env.name} ({env.backend})" for env in parts.campaign.environments)
        told = "with true classes" if parts.dataset.truth else "without true classes"
        print(printable(f"{args.file} is sound: campaign {parts.campaign.name}"))
        print(printable(f"  model         {about['model']}"))
        print(printable(f"  images        {about['images']}, {told}"))
        print(printable(f"  environments  {environments}"))
        print(printable(f"  operators     {len(operators)}"))
        return 0


def _operators(parts: Parts, host: PluginHost) -> Iterator[str]:
    """Yield the operators of every entry; raises InputError for options that one does not take."""
    from mutatenn.campaign.planning.plan import groups
    from mutatenn.host.options import create

    for mutation in parts.campaign.mutations:
        for name, cls in host.mutators().items():
            if mutation.operator in groups(cls):
                create(cls, mutation.options)
                yield name


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [CheckCommand]
