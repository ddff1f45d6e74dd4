"""A campaign on 64-bit ARM: built here, run under qemu-user, which ``make test-aarch64`` sets up."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mutatenn
from mutatenn.host.plugin_host import PluginHost
from mutatenn.offline.bundle import bundle
from mutatenn.offline.ingest import ingest

MACHINE = os.environ.get("MUTATENN_AARCH64", "")
pytestmark = pytest.mark.skipif(not MACHINE, reason="needs the machine that `make test-aarch64` sets up")

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
name = "arm"
options = { mtriple = "aarch64-linux-gnu", mcpu = "cortex-a72" }
offline = true
[[mutations]]
operator = "graph"
sites = { sample = 6, seed = 2 }
[[mutations]]
operator = "store-int8"
sites = { sample = 3, seed = 2 }
[[mutations]]
operator = "CSO"
sites = { sample = 3, seed = 2 }
"""


def test_a_bundle_runs_on_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Path(MACHINE).resolve() / "bin"
    monkeypatch.setenv("PATH", str(machine), prepend=os.pathsep)  # the linker
    file = tmp_path / "campaign.toml"
    file.write_text(CAMPAIGN)
    directory = mutatenn.run(file, tmp_path / "run").directory
    archive = tmp_path / "arm.zip"
    manifest = bundle(directory, "arm", archive, PluginHost.installed())
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(tmp_path)
    kernels = list((tmp_path / "arm" / "kernels").iterdir())
    assert {kernel.read_bytes()[18] for kernel in kernels} == {183}  # EM_AARCH64
    command = [str(machine / "python"), str(tmp_path / "arm" / "run.py"), "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = ingest(directory, tmp_path / "arm" / "results.zip", PluginHost.installed())
    assert (found.judged, found.waiting) == (len(manifest["mutants"]) + len(manifest["ended"]), 0)
    run = mutatenn.open_run(directory)
    here, arm = run.outputs("here", None), run.outputs("arm", None)
    assert (here.argmax(axis=1) == arm.argmax(axis=1)).all()
    assert np.abs(here - arm).max() < 1e-5
    statuses = {
        record.id: {name: each.status for name, each in record.verdicts.items()} for record in run.mutants
    }
    agree = [name for name, found in statuses.items() if found["here"] == found["arm"]]
    assert len(agree) >= len(statuses) - 2, statuses
