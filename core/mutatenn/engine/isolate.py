"""Child processes for work that may crash, hang or eat memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import multiprocessing
import os
import pickle
import resource
import signal
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import attrs

from mutatenn.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

T = TypeVar("T")
PR_SET_PDEATHSIG = 1


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
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_answer, args=(function, sender, os.getpid())
    )
    with _quiet_fork(), _uninterrupted():
        process.start()
    sender.close()
    try:
        yield functools.cache(lambda: _wait_for(process, receiver, seconds))
    finally:
        process.kill()  # where nobody waited for its end
        process.join()
        process.close()
        receiver.close()


def _wait_for(process: BaseProcess, receiver: Connection, seconds: float | None) -> Any:
    if not receiver.poll(seconds):
        raise InfrastructureError(f"it took more than {seconds:g} s")
    try:
        succeeded, value = receiver.recv()
        process.join()
    except (EOFError, OSError):  # the end, possibly in the middle of the answer
        process.join()
        raise InfrastructureError(_cause_of_death(process.exitcode)) from None
    if not succeeded:
        raise value
    return value


def _answer(function: Callable[[], T], pipe: Connection, parent: int) -> None:
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    try:
        pipe.send((True, function()))
    except Exception as error:
        pipe.send((False, _portable(error)))


def _portable(error: Exception) -> Exception:
    """Return an error, or its text where it does not survive the way to another process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own, made a moment ago
    except Exception:
        return InfrastructureError(f"{type(error).__name__}: {error}")
    return error


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process died of {signal.Signals(-exitcode).name}"
    return f"the process ended with exit code {exitcode}"


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


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


@attrs.define(eq=False)
class Child:
    """A forked process that waits to go, then reports over a pipe; see :func:`fork`."""

    pid: int
    pipe: Connection
    gate: Connection

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

    def kill(self) -> None:
        """Kill the process."""
        os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> tuple[int, int]:
        """Wait for the end; return (exit code, signal), one of them 0."""
        _, status = os.waitpid(self.pid, 0)
        self.pipe.close()
        self.gate.close()
        if os.WIFSIGNALED(status):
            return 0, os.WTERMSIG(status)
        return os.WEXITSTATUS(status), 0


def fork(work: Callable[[Connection], None], memory: int | None) -> Child:
    """Fork a process that runs ``work(pipe)`` when told to go.

    It may take ``memory`` more bytes of address space; None: any number.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    waiter, gate = multiprocessing.Pipe(duplex=False)
    parent = os.getpid()

    def begin(pipe: Connection) -> None:
        gate.close()
        waiter.recv_bytes()
        work(pipe)

    with _quiet_fork(), _uninterrupted():
        pid = os.fork()
        if pid == 0:
            _run_child(begin, sender, parent, memory)
    sender.close()
    waiter.close()
    return Child(pid, receiver, gate)


def _run_child(
    work: Callable[[Connection], None], pipe: Connection, parent: int, memory: int | None
) -> NoReturn:
    code = 1
    try:
        die_with_parent(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _silence()
        if memory is not None:
            limit = _address_space() + memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        work(pipe)
        code = 0
    finally:
        # No clean-up of the parent's copies here: a mutant may have damaged the heap.
        os._exit(code)


def _silence() -> None:
    """Send this process's output nowhere: TVM prints a trace on every segfault."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def send(pipe: Connection, **message: Any) -> None:
    """Send a small message of plain values."""
    pipe.send_bytes(json.dumps(message).encode())


def receive(pipe: Connection) -> dict[str, Any]:
    """Return the next message; raises EOFError at the end of the pipe."""
    message: dict[str, Any] = json.loads(pipe.recv_bytes())
    return message
