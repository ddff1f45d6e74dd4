"""Reads the command line: which command is called, and with what."""

from __future__ import annotations

import argparse
import contextlib
import re
from typing import TYPE_CHECKING, NoReturn

from mutatenn import __version__
from mutatenn.border import calling, is_built_in
from mutatenn.errors import InputError
from mutatenn.host.plugin_host import BLOCK_VARIABLE
from mutatenn.printable import one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mutatenn.api.command import Command
    from mutatenn.host.plugin_host import PluginHost


IMAGES = re.compile(r"\.(jpe?g|png|bmp|webp|gif|tiff?|ppm|npy|npz)\b")
EXIT_CODES = (
    "Exit codes: 0 done, 1 a threshold failed, 2 wrong input, 3 the original fails the baseline gate, 4 the "
    "machinery failed, 130 interrupted."
)


class ParserExit(SystemExit):
    """How wrong usage, ``--help`` and ``--version`` end the program."""


class _Parser(argparse.ArgumentParser):
    """Shows what the user typed as it shows everything else."""

    def error(self, message: str) -> NoReturn:
        """Tell the wrong usage and exit with 2."""
        beyond = message.partition("unrecognized arguments: ")[2].lower()
        hint = "; quote a pattern, as in --images 'photos/*.jpg'" if IMAGES.search(beyond) else ""
        super().error(shortened(message) + hint)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the program; raises ParserExit."""
        try:
            super().exit(status, message)
        except SystemExit as end:
            raise ParserExit(end.code) from None


def blocked_plugins(argv: Sequence[str]) -> list[str]:
    """Return the plugins that a command line blocks, before it is known which commands there are."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    _add_common(parser)
    with contextlib.suppress(argparse.ArgumentError):  # whose turn is yet to come
        blocked: list[str] = parser.parse_known_args(argv)[0].block_plugin
        return blocked
    return []


def parse(
    argv: Sequence[str], commands: Mapping[str, type[Command]], host: PluginHost
) -> tuple[Command, argparse.Namespace]:
    """Return the command that is called, and its arguments.

    Raises ParserExit for help and wrong usage, and PluginError for a command that several plugins offer, or
    one that cannot declare its options.
    """
    parser, parsers = _of(commands)
    name = next((word for word in argv if not word.startswith("-")), "")
    if name not in commands:
        _refuse(argv, name, parser, host)
    with guarded(commands[name], "configure"):
        command = _configured(commands[name], parsers[name])
        return command, parser.parse_args(argv)


def whole_parser(commands: Mapping[str, type[Command]]) -> argparse.ArgumentParser:
    """Return the parser of all commands with all their options; raises PluginError as :func:`parse`."""
    parser, parsers = _of(commands)
    for name, cls in commands.items():
        with guarded(cls, "configure"):
            _configured(cls, parsers[name])
    return parser


def _of(commands: Mapping[str, type[Command]]) -> tuple[_Parser, dict[str, _Parser]]:
    """Return the parser, and those of the commands, which are not configured yet."""
    parser = _Parser(
        prog="mutatenn",
        description="Mutation and differential testing of compiled image classifiers.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"mutatenn {__version__}")
    every = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    return parser, {name: _add(every, cls) for name, cls in commands.items()}


def _configured(cls: type[Command], parser: _Parser) -> Command:
    """Return a command whose options the parser knows now."""
    command = cls()
    command.configure(parser)
    _add_common(parser)
    if "Exit codes:" not in (parser.epilog or ""):
        parser.epilog = f"{parser.epilog or ''} {EXIT_CODES}".strip()
    return command


def _refuse(argv: Sequence[str], name: str, parser: _Parser, host: PluginHost) -> None:
    """End the program where no command is called: with help, the version, or what is wrong."""
    if argv[:1] == [name]:
        try:
            host.get("command", name)
        except InputError as error:
            parser.error(str(error))
    parser.parse_args(argv)


def _add(parsers: argparse._SubParsersAction[_Parser], command: type[Command]) -> _Parser:
    summary = one_line(command.summary())
    return parsers.add_parser(command.name, help=summary.replace("%", "%%"), description=summary)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--block-plugin",
        metavar="NAME",
        action="append",
        default=[],
        help=f"leave out an installed plugin; may be repeated (also: {BLOCK_VARIABLE}=NAME,...)",
    )


@contextlib.contextmanager
def guarded(command: type[Command], method: str) -> Iterator[None]:
    """Name the command of another distribution in whatever it raises; a bug of ours keeps its trace.

    Wrong usage and a closed pipe are nobody's fault.
    """
    passing: BaseException | None = None
    with contextlib.nullcontext() if is_built_in(command) else calling(command, method):
        try:
            yield
        except (ParserExit, BrokenPipeError) as error:
            passing = error
    if passing:
        raise passing
