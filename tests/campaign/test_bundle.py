"""A bundle takes an environment's mutants elsewhere; what comes back is as if it had run here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mutatenn
from mutatenn import BaselineError, InputError
from mutatenn.campaign.bundle import bundle
from mutatenn.campaign.ingest import ingest
from mutatenn.host import PluginHost

CAMPAIGN = """
name = "offline"
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
options = { mcpu = "x86-64" }
[[environments]]
name = "board"
options = { mcpu = "x86-64" }
offline = true
[[mutations]]
operator = "lt-to-le"
sites = [0, 5]
[[mutations]]
operator = "relu-to-sigmoid"
sites = [1, 3]
[[mutations]]
operator = "store-minus-epsilon"
sites = [4, 5]
[[mutations]]
operator = "increase-loop-extent"
sites = [2]
[limits]
shard_bytes = 40000
"""
# What a board need not have: all that mutatenn depends on but numpy and TVM.
ALONE = """
import runpy, sys
blocked = {"onnx", "onnxruntime", "scipy", "rich", "PIL", "pandas", "tomli_w", "importlib_metadata"}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"a board has no {name}")
sys.meta_path.insert(0, Block())
sys.argv = [sys.argv[1], *sys.argv[2:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def on_the_board(folder: Path) -> subprocess.Popen[str]:
    """Run a bundle by another Python process; its own copies of mutatenn and attrs come first."""
    command = [sys.executable, "-c", ALONE, str(folder / "run.py"), "--workers", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")


def finished(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)
    return folder / archive.stem


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle")


@pytest.fixture(scope="module")
def directory(folder: Path) -> Path:
    """Return a run whose environment ``here`` is done, and whose ``board`` waits."""
    file = folder / "campaign.toml"
    file.write_text(CAMPAIGN)
    return mutatenn.run(file, folder / "run", workers=2).directory


@pytest.fixture(scope="module")
def archive(directory: Path) -> Path:
    made = directory / "bundles" / "board.zip"
    manifest = bundle(directory, "board", made, PluginHost.installed())
    assert len(manifest["mutants"]) + len(manifest["ended"]) == 7
    return made


@pytest.fixture(scope="module")
def results(archive: Path, folder: Path) -> Path:
    """Run the bundle, killed once in the middle."""
    there = unpacked(archive, folder / "device")
    process = on_the_board(there)
    deadline = time.monotonic() + 120
    while not list((there / "results").glob("0/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {path.name: path.stat().st_mtime_ns for path in (there / "results").glob("*/*.npz")}
    output = finished(on_the_board(there))
    assert done
    again = [name for name in done if (there / "results" / "0" / name).stat().st_mtime_ns != done[name]]
    assert again == []
    assert "mutatenn ingest" in output
    return there / "results.zip"


def test_what_is_offline_is_planned_but_not_run(directory: Path) -> None:
    run = mutatenn.open_run(directory)
    assert run.environments == ("here", "board")
    assert list(run.baselines) == ["here"]
    assert len(run.store.trials("board")) == 7
    assert run.store.statuses("board") == {}


def test_results_are_as_if_it_had_run_here(directory: Path, results: Path) -> None:
    found = ingest(directory, results, PluginHost.installed())
    assert (found.environment, found.judged, found.waiting) == ("board", 7, 0)
    run = mutatenn.open_run(directory)
    assert run.store.meta("shards") > 1
    here, board = (run.store.statuses(name) for name in ("here", "board"))
    ran = [name for name in here if run.observation("board", name).outcome == "ran"]  # type: ignore[union-attr]
    assert len(ran) >= 5
    assert {name: board[name] for name in ran} == {name: here[name] for name in ran}
    for mutant in (None, *ran):
        assert np.array_equal(run.outputs("here", mutant), run.outputs("board", mutant), equal_nan=True)
    assert run.baselines["board"].problems == ()
    assert all(run.changes(name).keys() == {"here", "board"} for name in ran)


def test_results_may_be_taken_in_again(directory: Path, results: Path) -> None:
    ingest(directory, results, PluginHost.installed())
    found = ingest(directory, results, PluginHost.installed())
    assert (found.judged, found.waiting) == (0, 0)


def test_results_of_another_run_are_refused(results: Path, tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text(CAMPAIGN.replace("[1-4]", "[1-3]"))
    other = mutatenn.run(file, tmp_path / "run", workers=2).directory
    with pytest.raises(InputError, match="is of another run"):
        ingest(other, results, PluginHost.installed())


def test_a_damaged_bundle_does_not_run(archive: Path, tmp_path: Path) -> None:
    there = unpacked(archive, tmp_path)
    kernel = next((there / "kernels").iterdir())
    content = bytearray(kernel.read_bytes())
    content[len(content) // 2] ^= 1
    kernel.write_bytes(content)
    process = on_the_board(there)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"{kernel.name} is damaged; unpack the bundle again" in output


@pytest.mark.parametrize("damage", ["truncated", "text", "no-manifest", "array"])
def test_damaged_results_are_refused(directory: Path, results: Path, tmp_path: Path, damage: str) -> None:
    bad = tmp_path / "results.zip"
    if damage == "truncated":
        bad.write_bytes(results.read_bytes()[:-100])
    elif damage == "text":
        bad.write_text("no zip")
    else:
        with zipfile.ZipFile(results) as old, zipfile.ZipFile(bad, "w") as new:
            for name in old.namelist():
                if damage == "array" or name != "manifest.json":
                    new.writestr(name, b"junk" if name.endswith("npz") else old.read(name))
    fresh = tmp_path / "run"
    mutatenn.run(directory / "campaign.toml", fresh, workers=2)
    bundle(fresh, "board", tmp_path / "board.zip", PluginHost.installed())
    with pytest.raises(InputError) as raised:
        ingest(fresh, bad, PluginHost.installed())
    assert "\n" not in str(raised.value)
    assert str(bad) in str(raised.value)


def test_a_board_that_computes_otherwise_is_a_red_baseline(
    directory: Path, results: Path, tmp_path: Path
) -> None:
    bad, fresh = tmp_path / "results.zip", tmp_path / "run"
    mutatenn.run(directory / "campaign.toml", fresh, workers=2)
    bundle(fresh, "board", tmp_path / "board.zip", PluginHost.installed())
    with zipfile.ZipFile(results) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "results/original.npz":
                new_file = tmp_path / "original.npz"
                np.savez(
                    new_file,
                    first=np.full((10, 10), 0.1, "f4"),
                    second=np.full((10, 10), 0.1, "f4"),
                    seconds=1.0,
                )
                content = new_file.read_bytes()
            new.writestr(name, content)
    for _ in range(2):
        with pytest.raises(BaselineError, match="fails the baseline gate there"):
            ingest(fresh, bad, PluginHost.installed())
    assert mutatenn.open_run(fresh).store.statuses("board") == {}


def test_nothing_is_left_to_pack(directory: Path, results: Path, tmp_path: Path) -> None:
    ingest(directory, results, PluginHost.installed())
    with pytest.raises(InputError, match="nothing is to pack"):
        bundle(directory, "board", tmp_path / "x.zip", PluginHost.installed())
    with pytest.raises(InputError, match=r"'bord'.*'board'"):
        bundle(directory, "bord", tmp_path / "x.zip", PluginHost.installed())
    assert os.listdir(tmp_path) == []
