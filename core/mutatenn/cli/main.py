"""The command ``mutatenn``: finds the sub-command, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import traceback
from importlib import import_module
from typing import NoReturn

from mutatenn import MutatennError, PluginError, __version__
from mutatenn.border import described
from mutatenn.cli._streams import discard_output, prepare_streams, tell, tell_error, tell_trace
from mutatenn.host.plugin_host import BLOCK_VARIABLE, PluginHost
from mutatenn.printable import shortened

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
    prepare_streams()
    args = _parser().parse_args(argv)
    try:
        code: int = args.execute(args, PluginHost.installed(args.block_plugin))
        sys.stdout.flush()  # a closed pipe shows here, not after the last line of Python
    except MutatennError as error:
        tell_error(error)
        return error.exit_code
    except KeyboardInterrupt as error:
        tell("; ".join(["interrupted", *map(str, error.args)]))
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return PIPE_CLOSED
    except OSError as error:  # of the file or the output that it names
        discard_output()
        tell(f"error: {error}; mend that and give the command again")
        return MutatennError.exit_code
    except BaseException as error:
        return _unforeseen(error)
    return code


def _unforeseen(error: BaseException) -> int:
    """Tell of a bug by its trace, which its report needs, or that a plugin ended the program."""
    if isinstance(error, SystemExit):  # none of our code ends so: whatever it says, nothing is done
        tell(f"error: a plugin ended the program: {described(error)}; block or mend it")
        return PluginError.exit_code
    if wanting := _want_of_memory(error):
        tell(f"error: {wanting}")
    else:
        tell_trace(error)
    return MutatennError.exit_code


def _want_of_memory(error: BaseException) -> str:
    """Return what to say of an error that comes of too little memory, or ""."""
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    importing = any("importlib" in frame.filename for frame in traceback.extract_tb(error.__traceback__))
    if not (isinstance(error, MemoryError) or (limited and importing)):
        return ""
    reason = " ".join(str(error).split()) or type(error).__name__
    cure = "raise the limit of address space (ulimit -v)" if limited else "free some, or add some"
    return f"out of memory ({reason}); {cure} and run again"


class _Parser(argparse.ArgumentParser):
    """Shows what the user typed as it shows everything else."""

    def error(self, message: str) -> NoReturn:
        """Tell the wrong usage and exit with 2."""
        super().error(shortened(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
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
