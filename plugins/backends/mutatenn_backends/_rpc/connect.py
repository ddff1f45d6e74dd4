"""Opens sessions with TVM's RPC servers, waiting no longer than told."""

from __future__ import annotations

import functools
import queue
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import DeviceLostError, InputError, ir
from mutatenn_backends._rpc.device import close_session

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN_SECONDS = 0.2
NO_KEY = b"client:mutatenn-asks-whether-you-are-free"
SERVER = "python -m mutatenn_backends.rpc_server"
TRACKER = "python -m tvm.exec.rpc_tracker"
WRONG = {
    "cannot find server that matches key": "the server there has another key: set key to its --key",
    "protocol": "the server there runs another version of TVM: install apache-tvm 0.27 on it",
}


@attrs.frozen
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port``; raises InputError."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit():
            raise InputError(f'tracker = "{text}" is no address; write it as "host:port"')
        return cls(host, int(port))

    def check(self) -> None:
        """Raise InputError if the host has no address."""
        try:
            socket.getaddrinfo(self.host, self.port)
        except OSError as error:
            raise InputError(f"cannot find the host of {self}: {error.strerror or error}") from None


def open_server(server: Address, key: str, timeout: float, lifetime: float) -> Any:
    """Return a session with a server within ``timeout`` seconds; the server ends it after ``lifetime``.

    Raises InputError where nothing listens or something else, DeviceLostError where the server is busy.
    """
    server.check()
    deadline = time.monotonic() + timeout

    def step() -> Any:
        _check_free(server, deadline)
        return _connect(server, key, deadline, lifetime)

    try:
        return _retry(step, deadline)
    except TimeoutError as error:
        raise DeviceLostError(
            f"{server} gave no session within {timeout:g} s: it serves somebody else, or a kernel that "
            f"hangs; wait for it, or start it anew: {SERVER}"
        ) from error
    except OSError as error:
        start = f"{SERVER} --port {server.port}{f' --key {key}' if key else ''}"
        raise InputError(f"nothing answers at {server}; start there: {start}") from error


def open_tracked(tracker: Address, key: str, timeout: float, lifetime: float) -> Any:
    """Return a session with any server that a tracker knows by a key, within ``timeout`` seconds.

    Raises InputError where no tracker listens, DeviceLostError where no such server is free.
    """
    tracker.check()
    deadline = time.monotonic() + timeout

    def step() -> Any:
        server, match = _request(tracker, key, deadline)
        return _connect(server, match, deadline, lifetime)

    try:
        return _retry(step, deadline)
    except ConnectionRefusedError as error:
        start = f"{TRACKER} --port {tracker.port}"
        raise InputError(f"no tracker answers at {tracker}; start there: {start}") from error
    except OSError as error:
        raise DeviceLostError(
            f'no device "{key}" was free at tracker {tracker} within {timeout:g} s; wait for one, or '
            f"start one: {SERVER} --tracker {tracker} --key {key}"
        ) from error


def _retry(step: Callable[[], Any], deadline: float) -> Any:
    """Return what a step returns, tried again while it raises OSError and there is time."""
    while True:
        try:
            return step()
        except OSError:
            if time.monotonic() + AGAIN_SECONDS > deadline:
                raise
        time.sleep(AGAIN_SECONDS)


def count_servers(tracker: Address, key: str, timeout: float) -> int:
    """Return how many servers a tracker knows by a key, busy ones too; raises OSError."""
    codes = ir.tvm.rpc.base.TrackerCode
    answer = _ask(tracker, [codes.SUMMARY], time.monotonic() + timeout)
    return sum(server.get("key") == f"server:{key}" for server in answer["server_info"])


def _check_free(server: Address, deadline: float) -> None:
    """Return when a server would accept a session; raises OSError, of which TimeoutError while it is busy.

    It is asked for a key that it cannot have: a free one refuses, a busy one does not answer. A session that
    is asked for and then given up would be served all the same.
    """
    base = ir.tvm.rpc.base
    with socket.create_connection((server.host, server.port), _left(deadline)) as connection:
        connection.sendall(struct.pack("<ii", base.RPC_MAGIC, len(NO_KEY)) + NO_KEY)
        connection.settimeout(_left(deadline))
        (answer,) = struct.unpack("<i", base.recvall(connection, 4))
    if answer != base.RPC_CODE_MISMATCH:
        raise InputError(f"what listens at {server} is no RPC server of TVM; check host and port")


def _request(tracker: Address, key: str, deadline: float) -> tuple[Address, str]:
    codes = ir.tvm.rpc.base.TrackerCode
    host, port, match = _ask(tracker, [codes.REQUEST, key, "", 1], deadline)
    return Address(host, port), match


def _ask(tracker: Address, question: list[Any], deadline: float) -> Any:
    """Return a tracker's answer; raises OSError, of which TimeoutError when it does not come in time."""
    base = ir.tvm.rpc.base
    with socket.create_connection((tracker.host, tracker.port), _left(deadline)) as connection:
        connection.sendall(struct.pack("<i", base.RPC_TRACKER_MAGIC))
        if base.recvall(connection, 4) != struct.pack("<i", base.RPC_TRACKER_MAGIC):
            raise InputError(f"what listens at {tracker} is no tracker of TVM; check tracker")
        base.sendjson(connection, question)
        connection.settimeout(_left(deadline))
        status, answer = base.recvjson(connection)
    if status != base.TrackerCode.SUCCESS:
        raise OSError(f"the tracker answers {status}")
    return answer


def _connect(server: Address, key: str, deadline: float, lifetime: float) -> Any:
    """Return a session; raises OSError, of which TimeoutError when it does not come in time."""
    connect = functools.partial(ir.tvm.rpc.connect, server.host, server.port, key, session_timeout=lifetime)
    try:
        return _within(connect, _left(deadline))
    except RuntimeError as error:
        text = str(error)
        for part, cure in WRONG.items():
            if part in text:
                raise InputError(f"cannot use {server}: {cure}") from error
        raise ConnectionError(text) from error


def _within(connect: Callable[[], Any], seconds: float) -> Any:
    """Return the session that ``connect`` returns within some time; TVM itself waits for ever.

    A session that comes too late is closed. Raises TimeoutError.
    """
    answers: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
    late = threading.Event()

    def run() -> None:
        try:
            session, error = connect(), None
        except BaseException as raised:  # goes on where it was asked for
            session, error = None, raised
        if late.is_set() and session:
            close_session(session)
        answers.put((session, error))

    threading.Thread(target=run, daemon=True, name="rpc-connect").start()
    try:
        session, error = answers.get(timeout=seconds)
    except queue.Empty:
        late.set()
        raise TimeoutError from None
    if error:
        raise error
    return session


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), AGAIN_SECONDS)
