"""A campaign on a server of another architecture: 64-bit ARM, which ``make test-aarch64`` sets up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mutatenn
from mutatenn import InputError
from mutatenn_backends.rpc import Rpc

MACHINE = os.environ.get("MUTATENN_AARCH64", "")
pytestmark = pytest.mark.skipif(not MACHINE, reason="needs the machine that `make test-aarch64` sets up")

SERVER = """
import sys
from tvm.rpc.server import PopenRPCServerState
port = int(sys.argv[1])
PopenRPCServerState("127.0.0.1", port, port + 1, key="arm").thread.join()
"""
CAMPAIGN = """
name = "arm"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = ["mutatenn:digits/0_00*.png", "mutatenn:digits/[1-4]_00*.png"]
truth = "filename-prefix"
[[environments]]
name = "here"
[[environments]]
name = "there"
backend = "rpc"
options = { port = %d, key = "arm", mtriple = "aarch64-linux-gnu", mcpu = "cortex-a72" }
[[mutations]]
operator = "graph"
sites = { sample = 4, seed = 2 }
[[mutations]]
operator = "store-int8"
sites = { sample = 3, seed = 2 }
"""


@pytest.fixture
def port(closed_port: int) -> Iterator[int]:
    program = [Path(MACHINE).resolve() / "bin" / "python", "-c", SERVER, str(closed_port)]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL, start_new_session=True) as server:
        yield closed_port
        os.killpg(server.pid, 9)


def test_a_campaign_on_arm(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match='set mtriple = "aarch64-linux-gnu"'):
        Rpc(port=port, key="arm", connect_timeout=300).open()  # emulated, it starts slowly
    monkeypatch.setenv("PATH", str(Path(MACHINE).resolve() / "bin"), prepend=os.pathsep)  # the linker
    file = tmp_path / "campaign.toml"
    file.write_text(CAMPAIGN % port)
    run = mutatenn.run(file, tmp_path / "run")
    here, there = run.outputs("here", None), run.outputs("there", None)
    assert np.abs(here - there).max() < 1e-5
    statuses = {m.id: {name: each.status for name, each in m.verdicts.items()} for m in run.mutants}
    assert len(statuses) >= 5
    assert not {"infrastructure-error", "crashed", "timed-out"} & {
        each["there"] for each in statuses.values()
    }
    agree = [name for name, found in statuses.items() if found["here"] == found["there"]]
    assert len(agree) >= len(statuses) - 1, statuses
