"""Child processes for work that may crash, hang or eat memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import math
import multiprocessing
import os
import pickle
import resource
import signal
import tempfile
import threading
import time
import warnings
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import attrs

from mutatenn.border import described
from mutatenn.engine import orphans
from mutatenn.engine.messages import Inbox, clean
from mutatenn.errors import InfrastructureError
from mutatenn.printable import signal_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

T = TypeVar("T")
PR_SET_PDEATHSIG = 1
scratch: ContextVar[str] = ContextVar("scratch", default="")
"""Where child processes put temporary files; empty: wherever they like."""
LOOK_SECONDS = 0.5
MOST_ADDRESSES = 2**62  # bytes


def call_isolated(function: Callable[[], T], seconds: float | None = None) -> T:
    """Return ``function()`` computed in a forked process; see :func:`isolated`."""
    with isolated(function, seconds) as answer:
        return answer()


@contextlib.contextmanager
def isolated(function: Callable[[], T], seconds: float | None = None) -> Iterator[Callable[[], T]]:
    """Compute ``function()`` in a forked process meanwhile; yields a function that waits for the result.

    What it raises is raised by that. Raises InfrastructureError if the process dies, raises what cannot be
    passed between processes, or does not answer for so many seconds. On leaving, the process is ended.
    """
    herd = orphans.Herd()
    try:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=_answer, args=(function, sender, os.getpid(), herd.mark())
        )
        with undisturbed():
            process.start()
    except OSError as error:
        raise InfrastructureError(f"the system gives no process ({error}); run again when it does") from error
    sender.close()
    try:
        yield functools.cache(lambda: _wait_for(process, receiver, seconds))
    finally:
        process.kill()  # where nobody waited for its end
        process.join()
        process.close()
        receiver.close()
        herd.end()


def _wait_for(process: BaseProcess, receiver: Connection, seconds: float | None) -> Any:
    _wait_for_answer(process, receiver, seconds)
    try:
        succeeded, value = receiver.recv()
        process.join()
    except (EOFError, OSError):  # the end, possibly in the middle of the answer
        process.join()
        raise InfrastructureError(_cause_of_death(process.exitcode)) from None
    if not succeeded:
        raise value
    return value


def _wait_for_answer(process: BaseProcess, receiver: Connection, seconds: float | None) -> None:
    """Wait until there is an answer, or the end; what the process has started may hold its pipe longer."""
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if receiver.poll(min(left, LOOK_SECONDS)):
            return
        if process.exitcode is not None and not receiver.poll():
            raise InfrastructureError(_cause_of_death(process.exitcode))
    raise InfrastructureError(f"it took more than {seconds:g} s")


def _answer(function: Callable[[], T], pipe: Connection, parent: int, mark: int) -> None:
    die_with_parent(parent)
    orphans.wear(mark)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    try:
        pipe.send((True, function()))
    except BaseException as error:  # a plugin's code may call sys.exit
        pipe.send((False, _portable(error)))


def _portable(error: BaseException) -> Exception:
    """Return an error, or its text where it does not survive the way to another process, or ends that."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own, made a moment ago
    except Exception:
        return InfrastructureError(described(error))
    return error if isinstance(error, Exception) else InfrastructureError(described(error))


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process died of {signal_name(-exitcode)}"
    return f"the process ended with exit code {exitcode}"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Fork without a warning of threads, and without losing an interrupt."""
    with _quiet_fork(), _uninterrupted():
        yield


@contextlib.contextmanager
def _quiet_fork() -> Iterator[None]:
    # Other threads of this process (a progress bar, a notebook) hold no lock that a child of ours takes.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back an interrupt until the end: one that comes while Python forks is lost in its fork hooks."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        signal.raise_signal(signal.SIGINT)


def signal_at_death(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, and put its temporary files where they go."""
    signal_at_death(signal.SIGKILL)
    if folder := scratch.get():
        os.environ["TMPDIR"] = tempfile.tempdir = folder
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


@attrs.define(eq=False)
class Child:
    """A forked process that waits to go, then reports over a pipe; see :func:`fork`.

    Its ``mark`` tells the processes that it starts. Where its memory is ``scarce``, the campaign's limit is
    above what the system allows, and what fails for want of memory says nothing.
    """

    pid: int
    pipe: Connection
    gate: Connection
    mark: int
    scarce: bool
    inbox: Inbox = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.inbox = Inbox(self.pipe)

    def go(self) -> None:
        """Let the process begin; one that is dead already shows at the pipe."""
        with contextlib.suppress(OSError):
            self.gate.send_bytes(b"go")

    def cpu_seconds(self) -> float:
        """Return the processor time used so far."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def queued_seconds(self) -> float:
        """Return for how long it could have run so far, but others had the processors."""
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):  # this kernel does not count it
            return 0.0

    def dead(self, patience: float = 0.0) -> bool:
        """Tell whether the process has ended, or does within so many seconds."""
        deadline = time.monotonic() + patience
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.0005)
        return True

    def kill(self) -> None:
        """Kill the process and its group; one that is dead already keeps its status.

        What it started and has left the group ends as an orphan, see :class:`orphans.Herd`.
        """
        os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> tuple[int, int]:
        """Wait for the end; return (exit code, signal), one of them 0."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.kill()  # whoever is left of the group, which keeps its number only until the process is reaped
        _, status = os.waitpid(self.pid, 0)
        self.pipe.close()
        self.gate.close()
        if os.WIFSIGNALED(status):
            return 0, os.WTERMSIG(status)
        return os.WEXITSTATUS(status), 0


def fork(
    work: Callable[[Connection], None],
    memory: int | None,
    mark: int = 0,
    keep: Sequence[Connection | IO[Any]] = (),
) -> Child:
    """Fork a process that runs ``work(pipe)`` when told to go.

    It may take ``memory`` more bytes of address space; None: any number. Where the system does not let it get
    ready, it sends a problem instead. Of what this process has open it has
    nothing but ``keep``; it, and all that it starts, wears a ``mark``, if any.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    waiter, gate = multiprocessing.Pipe(duplex=False)
    parent = os.getpid()
    limit = None if memory is None else _address_space() + memory
    most = _most_address_space()
    own = {connection.fileno() for connection in (sender, waiter, *keep)}

    def prepare() -> None:
        os.setpgid(0, 0)
        part_from(own)
        if mark:
            orphans.wear(mark)
        if limit is not None:
            bound = min(limit, most)
            resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def begin() -> None:
        try:
            prepare()
        except Exception as error:  # of the system, not of the work
            send(sender, problem=clean(f"{type(error).__name__}: {error}"))
        else:
            waiter.recv_bytes()
            work(sender)

    try:
        with undisturbed():
            pid = os.fork()
            if pid == 0:
                _run_child(begin, parent)
    except OSError:
        receiver.close()
        gate.close()
        raise
    finally:
        sender.close()
        waiter.close()
    with contextlib.suppress(OSError):  # the process does so as well; whoever is first
        os.setpgid(pid, pid)
    return Child(pid, receiver, gate, mark, scarce=limit is not None and limit > most)


def _run_child(begin: Callable[[], None], parent: int) -> NoReturn:
    code = 1
    try:
        die_with_parent(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _exit_at_once()
        begin()
        code = 0
    finally:
        # No clean-up of the parent's copies here: a mutant may have damaged the heap.
        os._exit(code)


def _exit_at_once() -> None:
    """Have C's ``exit`` end this process with no more ado: others' clean-up waits for threads it has not."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc; what was registered last runs first
        libc.on_exit(ctypes.cast(libc._exit, ctypes.c_void_p), None)


def part_from(own: set[int]) -> None:
    """Put nothing in the place of every file that this process inherited, but for its own.

    TVM prints a trace on every segfault; a mutant that writes wherever it can must not reach the results; and
    whatever outlives a campaign must not hold its lock. The numbers stay taken, so that an object that
    still believes in one of them closes nobody else's.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in {null, *own}:
            os.dup2(null, int(name), inheritable=int(name) <= 2)  # noqa: PLR2004  # the standard ones
    os.close(null)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _most_address_space() -> int:
    """Return how much address space the system lets a process have."""
    limits = [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY]
    return min([*limits, MOST_ADDRESSES])


def children() -> set[int]:
    """Return the processes that this one has started and that are there."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # ended, or this kernel does not tell
            found.update(map(int, (thread / "children").read_text().split()))
    return found


def send(pipe: Connection, outputs: Sequence[memoryview] = (), **message: Any) -> None:
    """Send a small message of plain values, and float32 outputs after it."""
    pipe.send_bytes(b"".join([json.dumps(message).encode(), b"\n", *outputs]))


def receive(pipe: Connection) -> dict[str, Any]:
    """Return the next message; raises EOFError at the end of the pipe."""
    message: dict[str, Any] = json.loads(pipe.recv_bytes())
    return message
