"""A device that vanishes is told apart from a kernel that fails, and a supervised server comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mutatenn import DeviceLostError, InfrastructureError, Kernel, TensorSpec
from mutatenn_backends._rpc.device import RemoteCpu

psutil = pytest.importorskip("psutil", reason="servers need pip install 'mutatenn[rpc]'")

EIGHT = TensorSpec("t", (8,))
COPY = "B[i] = A[i]"
CRASH = "B[i * T.int64(1000000000)] = A[i]"
HANG = """for j, k in T.grid(T.int64(2000000000), T.int64(2000000000)):
            B[i] = B[i] * T.float32(0.9) + A[i]"""
Make = Callable[..., Kernel]
# A client that starts a kernel and is gone in the middle of it.
CLIENT = """
import os, threading, sys
import numpy as np
from mutatenn import Kernel, TensorSpec, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_backends.rpc import Rpc
backend = Rpc(port=int(sys.argv[1]), key="board")
device = backend.open()
kernel = Kernel("a" * 32, "hang", lower_kernel(ir.script.from_source(sys.stdin.read()), backend.target()))
tensors = [device.upload(np.ones(8, np.float32))], [device.allocate(TensorSpec("t", (8,)))]
built = device.build(kernel)
threading.Timer(0.5, os._exit, (0,)).start()
device.launch(built, *tensors)
"""


@pytest.fixture
def device(servers: Any, supervised: Any) -> Iterator[RemoteCpu]:
    opened = servers.backend(supervised).open()
    yield opened
    opened.close()


def run(device: RemoteCpu, kernel: Kernel) -> list[float]:
    result = device.allocate(EIGHT)
    device.launch(device.build(kernel), [device.upload(np.arange(8, dtype=np.float32))], [result])
    values: list[float] = device.fetch(result).tolist()
    return values


def every_method(device: RemoteCpu, tensor: Any, built: Any, kernel: Kernel) -> Iterator[Callable[[], Any]]:
    yield lambda: device.build(kernel)
    yield lambda: device.upload(np.zeros(3, np.float32))
    yield lambda: device.allocate(TensorSpec("t", (77,)))
    yield lambda: device.allocate(EIGHT)
    yield lambda: device.launch(built, [tensor], [tensor])
    yield lambda: device.fetch(tensor)
    yield lambda: device.sketch(tensor)
    yield lambda: device.same(tensor, tensor)
    yield lambda: device.digest(tensor)


def test_a_crashing_kernel_costs_its_session_and_no_more(
    servers: Any, supervised: Any, device: RemoteCpu, kernel: Make
) -> None:
    start = time.monotonic()
    with pytest.raises(DeviceLostError, match=f"the session with 127.0.0.1:{supervised.port} ended"):
        run(device, kernel(CRASH))
    assert time.monotonic() - start < 10
    again = servers.backend(supervised).open()
    assert run(again, kernel(COPY)) == list(range(8))
    again.close()
    assert "exited unsuccessfully" in supervised.text()


def test_after_a_loss_every_method_tells_it(device: RemoteCpu, kernel: Make) -> None:
    copy = kernel(COPY)
    tensor, built = device.allocate(EIGHT), device.build(copy)
    with pytest.raises(DeviceLostError):
        run(device, kernel(CRASH))
    for method in every_method(device, tensor, built, copy):
        with pytest.raises(DeviceLostError) as caught:
            method()
        assert "\n" not in str(caught.value)
    device.close()


@pytest.mark.slow
def test_a_server_killed_in_the_middle_of_a_kernel_is_lost_at_once(servers: Any, kernel: Make) -> None:
    server = servers.serve(module="tvm.exec.rpc_server")
    device = servers.backend(server).open()
    built, killed = device.build(kernel(HANG)), []
    tensors = [device.upload(np.ones(8, np.float32))], [device.allocate(EIGHT)]

    def kill() -> None:
        killed.append(time.monotonic())
        server.kill()

    threading.Timer(1.0, kill).start()
    with pytest.raises(DeviceLostError, match="ended"):
        device.launch(built, *tensors)
    assert killed
    assert time.monotonic() - killed[0] < 10


@pytest.mark.slow
def test_a_session_whose_time_is_over_says_nothing_of_the_kernel(servers: Any, kernel: Make) -> None:
    server = servers.serve(module="tvm.exec.rpc_server")
    device = servers.backend(server, session_timeout=3.0).open()
    start = time.monotonic()
    with pytest.raises(InfrastructureError, match="set a longer session_timeout") as raised:
        run(device, kernel(HANG))
    assert not isinstance(raised.value, DeviceLostError)
    assert time.monotonic() - start < 15
    again = servers.backend(server).open()  # the stock server serves on after this
    assert run(again, kernel(COPY)) == list(range(8))
    again.close()


@pytest.mark.slow
def test_a_kernel_that_hangs_ends_when_its_client_has_gone(
    servers: Any, supervised: Any, kernel: Make
) -> None:
    client = subprocess.Popen([sys.executable, "-c", CLIENT, str(supervised.port)], stdin=subprocess.PIPE)
    client.communicate(kernel(HANG).ir.script().encode(), timeout=60)
    start = time.monotonic()
    again = servers.backend(supervised).open()
    assert run(again, kernel(COPY)) == list(range(8))
    again.close()
    assert time.monotonic() - start < 15
    assert "its client has gone" in supervised.text()


@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGINT))],
)
def test_a_supervised_server_leaves_nothing_behind(servers: Any, kernel: Make, how: signal.Signals) -> None:
    server = servers.serve()
    device = servers.backend(server).open()
    built = device.build(kernel(HANG))
    tensors = [device.upload(np.ones(8, np.float32))], [device.allocate(EIGHT)]
    family = server.family()
    assert len(family) == 3
    threading.Timer(0.5, os.kill, (server.process.pid, how)).start()
    with pytest.raises(DeviceLostError):
        device.launch(built, *tensors)
    assert server.process.wait(timeout=20) == (-how if how is signal.SIGKILL else 0)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_where_it_cannot_listen_is_told(supervised: Any, host: str) -> None:
    options = ["--host", host, "--port", str(supervised.port)]
    command = [sys.executable, "-m", "mutatenn_backends.rpc_server", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"cannot listen at {host}:{supervised.port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_server_says_that_its_door_is_open(supervised: Any) -> None:
    assert "TVM's RPC has no authentication" in supervised.text()
    links = [link for each in supervised.family() for link in each.net_connections("tcp")]
    assert {link.laddr.ip for link in links} == {"127.0.0.1"}
