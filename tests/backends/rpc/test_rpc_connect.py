"""Opening a device waits no longer than told, and says in one line what is missing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import DeviceLostError, InputError, ir
from mutatenn_backends.rpc import Rpc, _ask


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


def test_where_nothing_listens_it_says_what_to_start(closed_port: int) -> None:
    with pytest.raises(
        InputError, match=f"127.0.0.1:{closed_port}; start there: python -m .*rpc_server"
    ) as caught:
        Rpc(port=closed_port, key="k", connect_timeout=0.5).open()
    one_line(caught.value)
    with pytest.raises(
        InputError, match=f"127.0.0.1:{closed_port}; start there: python -m tvm.exec.rpc_tracker"
    ):
        Rpc(tracker=f"127.0.0.1:{closed_port}", key="k", connect_timeout=0.5).open()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracker": "nowhere", "key": "k"}, r'"host:port"'),
        ({"tracker": "127.0.0.1:1"}, "set key"),
        ({"host": "no.such.host.invalid"}, "cannot find the host of no.such.host.invalid:9090"),
        ({"tracker": "no.such.host.invalid:1", "key": "k"}, "cannot find the host"),
    ],
)
def test_impossible_options_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    start = time.monotonic()
    with pytest.raises(InputError, match=message) as caught:
        Rpc(connect_timeout=600, **options).open()
    one_line(caught.value)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    "options", [{"port": 0}, {"port": 2**16}, {"connect_timeout": 0.0}, {"session_timeout": -1.0}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Rpc(**options)


def test_what_is_no_server_is_told_apart(closed_port: int) -> None:
    with socket.create_server(("127.0.0.1", closed_port)) as listener:

        def answer() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(InputError, match="no RPC server of TVM; check host and port"):
            Rpc(port=closed_port, connect_timeout=10).open()
        with pytest.raises(InputError, match="no tracker of TVM; check tracker"):
            Rpc(tracker=f"127.0.0.1:{closed_port}", key="k", connect_timeout=10).open()
        thread.join()


def test_a_server_of_another_key_is_told(servers: Any, supervised: Any) -> None:
    with pytest.raises(InputError, match="another key: set key to its --key"):
        servers.backend(supervised, key="other").open()


def test_a_busy_server_is_waited_for_as_long_as_told(servers: Any, supervised: Any) -> None:
    holder = servers.backend(supervised).open()
    start = time.monotonic()
    with pytest.raises(DeviceLostError, match="gave no session within 1 s") as caught:
        servers.backend(supervised, connect_timeout=1.0).open()
    one_line(caught.value)
    assert time.monotonic() - start < 10
    threading.Timer(1.0, holder.close).start()
    servers.backend(supervised).open().close()


def test_the_processor_must_be_the_one_that_is_compiled_for(
    servers: Any, supervised: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = servers.backend(supervised, mtriple="aarch64-linux-gnu", mcpu="cortex-a72", mattr=("+neon",))
    assert {**arm.target().attrs}["mcpu"] == "cortex-a72"
    assert list(arm.target().attrs["mattr"]) == ["+neon"]
    linker = tmp_path / "aarch64-linux-gnu-ld"
    linker.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho no library > "$2"\n')
    linker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(InputError, match=r"cannot run code for .*aarch64.*; set mtriple and mcpu"):
        arm.open()
    servers.backend(supervised).open().close()


def test_a_linker_for_the_processor_is_asked_for(servers: Any, supervised: Any) -> None:
    with pytest.raises(
        InputError, match=r"no linker for riscv64-linux-gnu .*; install binutils-riscv64-linux-gnu"
    ):
        servers.backend(supervised, mtriple="riscv64-linux-gnu").open()


@pytest.mark.slow
def test_two_devices_behind_a_tracker(servers: Any) -> None:
    tracker = servers.start("tvm.exec.rpc_tracker")
    backend = Rpc(tracker=f"127.0.0.1:{tracker.port}", key="board", connect_timeout=20)
    assert backend.places == 1  # none is known yet; there may be one soon
    with pytest.raises(DeviceLostError, match=r'no device "board" was free .* within 1 s'):
        Rpc(tracker=backend.tracker, key="board", connect_timeout=1).open()
    started = [servers.serve(tracker), servers.serve(tracker, module="tvm.exec.rpc_server")]
    devices = [backend.open(), backend.open()]
    assert backend.places == 2
    arrays = [np.full(4, value, np.float32) for value in (1, 2)]
    tensors = [device.upload(array) for device, array in zip(devices, arrays, strict=True)]
    for device, tensor, array in zip(devices, tensors, arrays, strict=True):
        np.testing.assert_array_equal(device.fetch(tensor), array)
    with pytest.raises(DeviceLostError, match="no device"):
        Rpc(tracker=backend.tracker, key="board", connect_timeout=1).open()
    for device in devices:
        device.close()
    started[1].kill()
    for _ in range(2):
        backend.open().close()


def test_a_named_server_is_one_place() -> None:
    assert Rpc().places == 1


def test_servers_need_their_packages() -> None:
    program = """
import sys
sys.modules["psutil"] = None
from importlib import util
found = util.find_spec
util.find_spec = lambda name, *more: None if name in ("psutil", "tornado") else found(name, *more)
from mutatenn_backends import rpc, rpc_server
print(rpc.Rpc.diagnose())
sys.exit(rpc_server.main(["--key", "k"]))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "tornado, psutil must be installed: pip install 'mutatenn[rpc]'" in done.stderr
    assert done.stdout.startswith("(True, ")
    assert "tornado, psutil missing" in done.stdout


def test_diagnose_tells_how_to_start_a_server(supervised: Any) -> None:
    works, detail = Rpc.diagnose()
    assert works
    assert "python -m mutatenn_backends.rpc_server" in detail
    assert ir.tvm.runtime.enabled("llvm")


def test_a_processor_unlike_this_one_is_told(
    servers: Any, supervised: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answer for this machine, which is the server's too, as if it were another."""
    theirs = ir.tvm.target.codegen.llvm_get_system_cpu()
    monkeypatch.setattr(ir.tvm.target.codegen, "llvm_get_system_cpu", lambda: "x86-64")
    with pytest.raises(InputError, match=f'is {theirs}, this machine is x86-64; set mcpu = "{theirs}"'):
        servers.backend(supervised).open()
    servers.backend(supervised, mcpu=theirs).open().close()


def test_a_server_without_a_compiler_is_asked_in_vain(servers: Any, supervised: Any) -> None:
    device = servers.backend(supervised).open()
    assert _ask(device.session, "target.no_such_function", "it") == ""
    assert _ask(device.session, "target.llvm_get_system_cpu", "it") != ""
    device.close()
