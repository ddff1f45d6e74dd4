"""TVM's RPC server under supervision: it serves on after kernels that crash, hang, or are given up.

The stock server stops listening when a kernel crashes its session, and waits for ever for one that hangs.
Here it runs in a process of its own, which is replaced then; sessions whose client has gone are ended.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from mutatenn import InputError, ir, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  # named, not bound
GONE_SECONDS = 2.0
"""How long a session may go on after its client has gone: it may be in the middle of a sound kernel."""
BIND_SECONDS = 10.0
"""How long the sessions of a server that was replaced may keep its port."""
BUSY = 75
"""Exit code of a server whose port is taken."""
OPEN_DOOR = "TVM's RPC has no authentication: whoever can connect here runs code with your rights"


@attrs.define(eq=False)
class Supervisor:
    """Keeps one server process running, see :func:`main` for the options."""

    host: str
    port: int
    key: str
    tracker: tuple[str, int] | None
    folder: Path
    """Where sessions put what is uploaded; emptied when the server process is replaced."""
    _pid: int = attrs.field(init=False, default=0)
    _lifeline: int = attrs.field(init=False, default=-1)
    _gone: dict[int, float] = attrs.field(init=False, factory=dict)
    """Sessions without a client, and since when."""
    _looked: float = attrs.field(init=False, factory=time.monotonic)

    def run(self) -> NoReturn:
        """Serve until a signal ends this process; raises InputError if the port is taken."""
        replaced = -math.inf  # the first one gets the port or it does not
        importlib.import_module("tvm.rpc.server")  # so that a server process is there at once
        self._start()
        while True:
            time.sleep(POLL_SECONDS)
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if not ended:
                self._end_abandoned()
                continue
            busy = os.waitstatus_to_exitcode(status) == BUSY
            if busy and time.monotonic() - replaced > BIND_SECONDS:
                raise InputError(
                    f"cannot listen at {self.host}:{self.port}: the port is taken, or the address is not "
                    "of this machine; choose others: --port, --host"
                )
            if not busy:
                _say("serving again")
                replaced = time.monotonic()
            self.stop()
            self._start()

    def stop(self) -> None:
        """End the server process and its sessions, and remove what they were sent."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            os.close(self._lifeline)
            self._pid = 0
        for left in self.folder.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def _start(self) -> None:
        watched, self._lifeline = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._lifeline)
            self._serve(watched)
        os.close(watched)
        with contextlib.suppress(OSError):  # it does so itself; whoever is first
            os.setpgid(self._pid, self._pid)

    def _serve(self, watched: int) -> NoReturn:
        """Be the server process; its sessions are its children."""
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
        threading.excepthook = lambda failure: _say(f"{failure.exc_value}")
        tempfile.tempdir = str(self.folder)
        try:
            state = ir.tvm.rpc.server.PopenRPCServerState(
                self.host,
                self.port,
                self.port + 1,
                tracker_addr=self.tracker,
                key=self.key,
                custom_addr=None if self.host in EVERYWHERE else self.host,  # as the tracker tells clients
                silent=True,
            )
            state.thread.join()
        except (OSError, ValueError):  # no port could be bound
            os._exit(BUSY)
        finally:
            os._exit(1)

    def _end_abandoned(self) -> None:
        """Kill sessions that go on although their client has gone, now and then: kernels that hang."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked, sessions = now, dict(self._sessions())
        self._gone = {pid: self._gone.get(pid, now) for pid, client in sessions.items() if not client}
        for pid, since in self._gone.items():
            if now - since > GONE_SECONDS:
                _say(f"ending session {pid}: its client has gone")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _sessions(self) -> Iterator[tuple[int, bool]]:
        """Yield the session processes, and whether each has a client."""
        import psutil  # type: ignore[import-untyped,unused-ignore]

        with contextlib.suppress(psutil.Error):
            for session in psutil.Process(self._pid).children():
                # psutil called it otherwise before version 6
                connections: Any = getattr(session, "net_connections", None) or session.connections
                links = [each for each in connections("tcp") if each.laddr and each.laddr.port == self.port]
                yield session.pid, any(link.status == psutil.CONN_ESTABLISHED for link in links)


def _end_with(watched: int) -> None:
    """End this process and its children when the process at the other end of a pipe ends, however it does."""
    os.read(watched, 1)
    os.killpg(0, signal.SIGKILL)


def _say(text: str) -> None:
    print(f"mutatenn rpc-server: {one_line(text)}", file=sys.stderr, flush=True)


def _end(number: int, frame: object) -> NoReturn:
    del number, frame
    raise SystemExit(0)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mutatenn_backends.rpc_server",
        description=f"Serve this machine's processor. {OPEN_DOOR}.",
    )
    parser.add_argument("--key", default="", help="the name under which clients ask for such a device")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (only this machine's)")
    parser.add_argument("--port", type=int, default=9090, help="the port to listen at (9090)")
    parser.add_argument("--tracker", default="", metavar="HOST:PORT", help="the tracker to register with")
    return parser.parse_args(arguments)


def _check(options: argparse.Namespace) -> tuple[str, int] | None:
    """Return the tracker's address; raises InputError for options that cannot be, or missing packages."""
    from mutatenn_backends._rpc.connect import Address
    from mutatenn_backends.rpc import missing

    if packages := missing():
        raise InputError(f"to serve, {packages} must be installed: pip install 'mutatenn[rpc]'")
    if options.tracker and not options.key:
        raise InputError("a tracker knows devices by their keys: give --key")
    if not 0 < options.port < 2**16:
        raise InputError(f"--port {options.port} is no port; give one from 1 to 65535")
    if not options.tracker:
        return None
    tracker = Address.parse(options.tracker)
    tracker.check()
    return tracker.host, tracker.port


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; return the exit code, 2 for options that cannot be."""
    options = _parse(arguments)
    try:
        tracker = _check(options)
        signal.signal(signal.SIGTERM, _end)
        with tempfile.TemporaryDirectory(prefix="mutatenn-rpc-") as folder:
            supervisor = Supervisor(options.host, options.port, options.key, tracker, Path(folder))
            at = f"{options.host}:{options.port}"
            _say(f"serving at {at}{f', key {options.key}' if options.key else ''}. {OPEN_DOOR}")
            try:
                supervisor.run()
            finally:
                supervisor.stop()
    except InputError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
