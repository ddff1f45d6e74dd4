"""Real servers and trackers of TVM's RPC on this machine, and kernels for them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from mutatenn import Kernel, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_backends.rpc import Rpc

KEY = "board"
STARTING_SECONDS = 60.0
SUPERVISED = "mutatenn_backends.rpc_server"
STOCK = "tvm.exec.rpc_server"
TRACKER = "tvm.exec.rpc_tracker"


@attrs.frozen(eq=False)
class Server:
    """A process that listens at a port, with what it started."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def family(self) -> list[Any]:
        """Return the process and all that came of it, itself last."""
        import psutil

        try:
            first = psutil.Process(self.process.pid)
            return [*first.children(recursive=True), first]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """Kill it and all that came of it."""
        for each in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        self.process.wait()

    def text(self) -> str:
        """Return what it printed."""
        return self.log.read_text()


@attrs.frozen(eq=False)
class Servers:
    """Starts servers and ends them all."""

    folder: Path
    running: list[Server] = attrs.field(factory=list)

    def start(self, module: str, *options: str, port: int = 0) -> Server:
        """Start a module as a server, at a free port unless told, and return when it listens."""
        port = port or free_port()
        last = () if module == SUPERVISED else ("--port-end", str(port + 1))
        command = [sys.executable, "-m", module, "--host", "127.0.0.1", "--port", str(port), *last, *options]
        log = self.folder / f"{len(self.running)}.log"
        environment = os.environ | {"TVM_NUM_THREADS": "1"}
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        server = Server(process, port, log)
        self.running.append(server)
        within(STARTING_SECONDS, lambda: listens(server), server.text)
        return server

    def serve(self, tracker: Server | None = None, *, module: str = SUPERVISED, port: int = 0) -> Server:
        """Start a server of one device."""
        where = ("--tracker", f"127.0.0.1:{tracker.port}") if tracker else ()
        return self.start(module, "--key", KEY, *where, port=port)

    def backend(self, server: Server, **options: Any) -> Rpc:
        """Return the backend of a server, waiting not long."""
        return Rpc(**{"port": server.port, "key": KEY, "connect_timeout": 15.0} | options)

    def stop(self) -> None:
        for server in self.running:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(server: Server) -> bool:
    assert server.process.poll() is None, server.text()
    return any(
        link.status == "LISTEN" and link.laddr.port == server.port
        for each in server.family()
        for link in each.net_connections("tcp")
    )


def within(seconds: float, happened: Callable[[], bool], explain: Callable[[], str] = str) -> None:
    """Return when something has happened; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.05)


@pytest.fixture
def closed_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    for package in ("cloudpickle", "psutil", "tornado"):
        pytest.importorskip(package, reason="servers need pip install 'mutatenn[rpc]'")
    started = Servers(tmp_path_factory.mktemp("servers"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def supervised(servers: Servers) -> Server:
    return servers.serve()


@pytest.fixture(scope="module")
def kernel() -> Callable[..., Kernel]:
    """Return what makes a kernel of two buffers A and B of 8 elements whose body is one statement."""

    def make(body: str, dtype: str = "float32") -> Kernel:
        source = f"""
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8,), "{dtype}"), B: T.Buffer((8,), "{dtype}")):
    for i in range(T.int64(8)):
        {body}
"""
        digest = hashlib.blake2b(source.encode(), digest_size=16).hexdigest()
        return Kernel(digest, "test", lower_kernel(ir.script.from_source(source), Rpc().target()))

    return make
