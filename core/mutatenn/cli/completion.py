"""``mutatenn completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.api.command import Command
from mutatenn.host.hookspecs import hookimpl

if TYPE_CHECKING:
    import argparse

    from mutatenn.host.plugin_host import PluginHost

SHELLS = ("bash", "zsh", "fish")
EPILOG = """
bash: mutatenn completion bash > ~/.local/share/bash-completion/completions/mutatenn.
zsh: mutatenn completion zsh > DIR/_mutatenn, where DIR is a folder of $fpath.
fish: mutatenn completion fish > ~/.config/fish/completions/mutatenn.fish.
Commands of plugins are completed, too: give it again after one was installed.
"""


class CompletionCommand(Command):
    """Print what a shell needs to complete commands and options."""

    name = "completion"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("shell", choices=SHELLS, help="the shell")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print a script that completes."""
        import shtab

        from mutatenn.cli._parser import whole_parser
        from mutatenn.cli.main import commands_of

        print(shtab.complete(whole_parser(commands_of(host)), shell=args.shell))
        return 0


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [CompletionCommand]
