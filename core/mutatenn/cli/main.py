"""The command ``mutatenn``: finds the sub-command, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import resource
import sys
import traceback
from typing import TYPE_CHECKING

from mutatenn.border import broken, described
from mutatenn.cli._parser import ParserExit, blocked_plugins, guarded, parse
from mutatenn.cli._streams import discard_output, prepare_streams, tell, tell_error, tell_trace
from mutatenn.cli.doctor import DoctorCommand
from mutatenn.cli.init import InitCommand
from mutatenn.cli.plan import PlanCommand
from mutatenn.cli.plugins import PluginsCommand
from mutatenn.cli.report import ReportCommand
from mutatenn.cli.run import RunCommand
from mutatenn.cli.score import ScoreCommand
from mutatenn.errors import MutatennError, PluginError
from mutatenn.host.hookspecs import hookimpl
from mutatenn.host.plugin_host import CORE, PluginHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn.api.command import Command

INTERRUPTED = 128 + 2
PIPE_CLOSED = 128 + 13
LARGEST_CODE = 255
OWN: tuple[type[Command], ...] = (
    *(InitCommand, PlanCommand, RunCommand, ReportCommand, ScoreCommand),
    *(PluginsCommand, DoctorCommand),
)
"""The commands that core does not go without, as help lists them; all others are plugins."""


class Own:
    """Contributes the commands that are core's own."""

    @hookimpl
    def mutatenn_commands(self) -> tuple[type[Command], ...]:
        """Return them."""
        return OWN


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; wrong usage exits with 2 right away."""
    _limit_threads()
    prepare_streams()
    try:
        code = _call(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # a closed pipe shows here, not after the last line of Python
    except ParserExit:
        raise
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


def _call(argv: Sequence[str]) -> int:
    """Call the command that a command line names, and return its exit code."""
    host = PluginHost(blocked_plugins(argv))
    host.register(Own(), CORE)
    host.discover("command")
    command, args = parse(argv, commands_of(host), host)
    host.discover()
    with guarded(type(command), "execute"):
        code = command.execute(args, host)
    if not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= LARGEST_CODE:
        raise broken(command, "execute", f"an exit code, 0 to {LARGEST_CODE}", code)
    return code


def commands_of(host: PluginHost) -> dict[str, type[Command]]:
    """Return all commands by name, those of core first."""
    return {cls.name: cls for cls in OWN} | host.commands()


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


def _limit_threads() -> None:
    """Give each process one thread of linear algebra, unless the user says otherwise.

    The engine forks a process per mutant and uses every core already; pools of threads would compete
    for them, and those of OpenMP do not survive a fork. Libraries loaded later and processes started
    later see it.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
