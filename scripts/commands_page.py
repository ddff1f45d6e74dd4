"""Writes docs/commands.md, the page about every command, from what they say themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mutatenn.border import is_built_in
from mutatenn.cli._parser import whole_parser
from mutatenn.cli.main import Own, commands_of
from mutatenn.host.plugin_host import PluginHost

if TYPE_CHECKING:
    import argparse

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

<!-- Made from the code by scripts/commands_page.py; change the commands there, not this page. -->

What `mutatenn NAME --help` says; `mutatenn --help` lists the commands of plugins, too. `mutatenn completion
SHELL` makes a shell complete them all.

## Variables

| variable | what it does |
|---|---|
| `MUTATENN_BLOCK_PLUGINS` | plugins to leave out, separated by commas, as by `--block-plugin` |
| `MUTATENN_KERNEL_CACHE` | where compiled kernels are kept; `off`: nowhere |
| `MUTATENN_KERNEL_CACHE_BYTES` | how many bytes of them are kept (default: 2147483648) |
| `XDG_CACHE_HOME` | in the place of `~/.cache`: kernels, and models that were downloaded or exported |
| `TMPDIR` | where temporary files go: images of large campaigns, kernels that are being linked |
| `NO_COLOR` | no colours, if set |
| `OPENBLAS_NUM_THREADS`, `OMP_NUM_THREADS` | 1 unless set: mutants use the processors already |

There is no file of settings for all campaigns: what a run is made of stands in its campaign file.
"""


def page() -> str:
    """Return the text of the page."""
    host = PluginHost()
    host.register(Own(), "core")
    host.discover("command")
    commands = {name: cls for name, cls in commands_of(host).items() if is_built_in(cls)}
    whole = whole_parser(commands)
    (action,) = [each for each in whole._actions if each.dest == "command"]  # no other way
    return "\n".join([INTRODUCTION, *(_section(name, action.choices[name]) for name in commands)])


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    actions = [each for each in parser._actions if "--help" not in each.option_strings]
    rows = [f"| {_shown(each)} | {_told(each)} |" for each in actions]
    table = "\n".join(["| argument | |", "|---|---|", *rows])
    more = " ".join((parser.epilog or "").split())
    return f"## {name}\n\n{parser.description}\n\n{table}\n\n{more}\n"


def _shown(action: argparse.Action) -> str:
    metavar = action.metavar or "|".join(map(str, action.choices or ()))
    if not action.option_strings:
        return f"`{metavar}`" if action.required else f"`[{metavar}]`"
    value = f" {metavar}" if action.nargs != 0 else ""
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def _told(action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default}
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
