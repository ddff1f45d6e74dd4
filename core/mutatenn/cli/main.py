"""The command ``mutatenn``: finds the sub-command, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from importlib import import_module

from mutatenn import MutatennError, PluginError, __version__
from mutatenn.border import described
from mutatenn.host import BLOCK_VARIABLE, PluginHost

COMMANDS = (
    *("init", "plan", "run", "show", "report", "score", "compare", "images"),
    *("bundle", "ingest", "plugins", "doctor"),
)
"""Modules of this package; each has NAME, HELP, ``configure(parser)`` and ``execute(args, host) -> int``."""

INTERRUPTED = 128 + 2
PIPE_CLOSED = 128 + 13


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code; wrong usage exits with 2 right away."""
    _limit_threads()
    logging.basicConfig(format="mutatenn: %(message)s", level=logging.WARNING)
    args = _parser().parse_args(argv)
    try:
        code: int = args.execute(args, PluginHost.installed(args.block_plugin))
        sys.stdout.flush()  # a closed pipe shows here, not after the last line of Python
    except MutatennError as error:
        print(f"mutatenn: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        print("; ".join(["mutatenn: interrupted", *map(str, error.args)]), file=sys.stderr)
        return INTERRUPTED
    except SystemExit as error:  # no code of ours ends so: whatever it was meant to be, nothing is done
        print(f"mutatenn: error: a plugin ended the program: {described(error)}", file=sys.stderr)
        return PluginError.exit_code
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED
    except BaseException:  # a bug: its trace is what the report needs
        traceback.print_exc()
        return MutatennError.exit_code
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mutatenn", description="Mutation and differential testing of compiled image classifiers."
    )
    parser.add_argument("--version", action="version", version=f"mutatenn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"mutatenn.cli.{name}")
        command = commands.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        module.configure(command)
        _add_common(command)
        command.set_defaults(execute=module.execute)
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--block-plugin",
        metavar="NAME",
        action="append",
        default=[],
        help=f"leave out an installed plugin; may be repeated (also: {BLOCK_VARIABLE}=NAME,...)",
    )


def _limit_threads() -> None:
    """Give each process one thread of linear algebra, unless the user says otherwise.

    The engine forks a process per mutant and uses every core already; pools of threads would compete
    for them, and those of OpenMP do not survive a fork. Libraries loaded later and processes started
    later see it.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _discard_output() -> None:
    """Point standard output at nothing, so that Python's last flush cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
