"""A bundle takes an environment's mutants elsewhere; what comes back is as if it had run here."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn import BaselineError, InputError
from mutatenn.cli.main import main
from mutatenn.host.plugin_host import PluginHost
from mutatenn.offline import runner as board
from mutatenn.offline.bundle import bundle
from mutatenn.offline.ingest import ingest
from mutatenn.offline.results import FORMAT

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
def archive(directory: Path, folder: Path) -> Path:
    made = directory / "bundles" / "board.zip"
    manifest = bundle(directory, "board", made, PluginHost.installed())
    assert len(manifest["mutants"]) + len(manifest["ended"]) == 7
    shutil.copytree(directory, folder / "waiting")
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
    assert len(run.mutants_of("board")) == 7
    assert run.statuses("board") == {}


def test_results_are_as_if_it_had_run_here(directory: Path, results: Path) -> None:
    found = ingest(directory, results, PluginHost.installed())
    assert (found.environment, found.judged, found.waiting) == ("board", 7, 0)
    run = mutatenn.open_run(directory)
    assert run._store.meta("shards") > 1
    here, board = (run.statuses(name) for name in ("here", "board"))
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


Members = dict[str, bytes]


def manifest_with(**changes: Any) -> Callable[[Members], None]:
    """Return what changes fields of the manifest; a function makes the new value of the old one."""

    def change(members: Members) -> None:
        manifest = json.loads(members["manifest.json"])
        for key, value in changes.items():
            manifest[key] = value(manifest[key]) if callable(value) else value
        members["manifest.json"] = json.dumps(manifest).encode()

    return change


def manifest_of(content: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({"manifest.json": content})


def original_with(**changes: Any) -> Callable[[Members], None]:
    """Return what changes arrays of the original's results."""

    def change(members: Members) -> None:
        with np.load(io.BytesIO(members["results/original.npz"])) as found:
            arrays = {**found, **changes}
        file = io.BytesIO()
        np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
        members["results/original.npz"] = file.getvalue()

    return change


def ended_well(members: Members) -> None:
    """Let a mutant end without running, as none does."""
    name = json.loads(members["manifest.json"])["mutants"][0]
    manifest_with(ended={name: ["excellent", "", ""]})(members)


def first_observation(members: Members) -> str:
    return min(name for name in members if name.startswith("results/0/"))


DAMAGES: dict[str, Callable[[Members], object]] = {
    "no manifest": lambda members: members.pop("manifest.json"),
    "junk": lambda members: members.update(dict.fromkeys(members.keys() - {"manifest.json"}, b"junk")),
    "no original": lambda members: members.pop("results/original.npz"),
    "manifest of text": manifest_of(b"no manifest"),
    "manifest of a number": manifest_of(b"5"),
    "deep manifest": manifest_of(b'{"a":' * 100_000),
    "manifest not UTF-8": manifest_of(b'{"run": "\xff"}'),
    "large manifest": manifest_of(b" " * 2**26),
    "mutants 5": manifest_with(mutants=5),
    "mutants of numbers": manifest_with(mutants=[1]),
    "strange mutants": manifest_with(mutants=lambda ids: [*ids, "../../x"]),
    "ended list": manifest_with(ended=[]),
    "ended number": manifest_with(ended=lambda ended: {**ended, "x": 5}),
    "ended well": ended_well,
    "label list": manifest_with(label=["board"]),
    "no label": manifest_with(label={}),
    "strange label": manifest_with(label=lambda label: {**label, "environment": "..\x1b[31m"}),
    "other format": manifest_with(format=FORMAT - 1),
    "seconds of three": original_with(seconds=np.ones(3)),
    "complex seconds": original_with(seconds=np.array(1j)),
    "seconds of text": original_with(seconds=np.array("1")),
    "infinite seconds": original_with(seconds=np.array(np.inf)),
    "outputs of one image": original_with(first=np.zeros((1, 10), np.float32)),
    "outputs of text": original_with(first=np.zeros((10, 10), "U1")),
    "no outputs": original_with(second=None),
    "large outputs": original_with(first=np.zeros((2**24,), np.float32)),
    "observation": lambda members: members.update({first_observation(members): b"PK junk"}),
    "member outside": lambda members: members.update({"../x": b""}),
    "absolute member": lambda members: members.update({"/tmp/x": b""}),
    "other member": lambda members: members.update({"results/x/y.npz": b""}),
}


def repacked(results: Path, place: Path, change: Callable[[Members], object]) -> Path:
    with zipfile.ZipFile(results) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, content)
    return place


@pytest.fixture
def fresh(archive: Path, folder: Path, tmp_path: Path) -> Path:
    """Return the run as it was when the bundle was made."""
    return Path(shutil.copytree(folder / "waiting", tmp_path / "run"))


@pytest.mark.slow
def test_damaged_results_are_refused_and_good_ones_taken(
    fresh: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {name: repacked(results, tmp_path / f"{name}.zip", change) for name, change in DAMAGES.items()}
    for name in ("cut", "text", "folder", "fifo", "links", "twice"):
        bad[name] = tmp_path / f"{name}.zip"
    bad["cut"].write_bytes(results.read_bytes()[:-100])
    bad["text"].write_text("no zip")
    bad["folder"].mkdir()
    os.mkfifo(bad["fifo"])
    shutil.copy(results, bad["links"])
    with zipfile.ZipFile(bad["links"], "a") as zipped:
        link = zipfile.ZipInfo("results/0/link.npz")
        link.external_attr = 0o120777 << 16
        zipped.writestr(link, "/etc/passwd")
    shutil.copy(results, bad["twice"])
    with zipfile.ZipFile(bad["twice"], "a") as zipped, pytest.warns(UserWarning, match="Duplicate name"):
        zipped.writestr("results/original.npz", b"")
    for place in bad.values():
        refused(fresh, place, capsys)
    with closing(mutatenn.open_run(fresh)._store) as store:
        assert store.tallies.statuses("board") == {}
    found = ingest(fresh, results, PluginHost.installed())
    assert (found.judged, found.waiting) == (7, 0)


def refused(run: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that results are refused in one line."""
    assert main(["ingest", str(run), str(results)]) == 2, results
    told = capsys.readouterr().err
    assert told.startswith("mutatenn: error: ")
    assert told.count("\n") == 1
    assert told[:-1].isprintable()


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.soak) for n in range(2, 150))])
def test_flipped_bits_of_results(
    fresh: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    chance, content = random.Random(seed), bytearray(results.read_bytes())
    for _ in range(3):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    (tmp_path / "flipped.zip").write_bytes(content)
    code = main(["ingest", str(fresh), str(tmp_path / "flipped.zip")])
    told = capsys.readouterr().err
    assert code in (0, 2)  # not every bit matters
    assert told.count("\n") == (code != 0)
    assert told.startswith("mutatenn: error: ") == (code != 0)


def test_a_damaged_manifest_does_not_run(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = unpacked(archive, tmp_path)
    whole = json.loads((there / "manifest.json").read_text())
    for change in (
        {"files": ["x"]},
        {"files": {"../x": "0"}},
        {"files": {"lib": "0"}},
        {"backend": "mutatenn_backends.llvm.Llmv"},
        {"backend": "no.such.Backend"},
        {"backend": "builtins.print"},
        {"options": {"mcpuu": 1}},
        {"limits": {**whole["limits"], "extra": 1}},
        {"limits": {**whole["limits"], "time_factor": "x"}},
        {"shard_images": 0},
        {"shard_images": "1"},
        {"noise": "0"},
        {"label": "board"},
        {"mutants": [1]},
        {"format": FORMAT + 1},
    ):
        (there / "manifest.json").write_text(json.dumps(whole | change))
        assert board.main(there, ["--workers", "1"]) == 2, change
        told = capsys.readouterr().err
        assert told.startswith("mutatenn: error: ")
        assert told.count("\n") == 1


@pytest.mark.slow
def test_a_board_that_computes_otherwise_is_a_red_baseline(
    fresh: Path, results: Path, tmp_path: Path
) -> None:
    same = np.full((10, 10), 0.1, np.float32)
    bad = repacked(results, tmp_path / "results.zip", original_with(first=same, second=same))
    for _ in range(2):
        with pytest.raises(BaselineError, match="fails the baseline gate there"):
            ingest(fresh, bad, PluginHost.installed())
    assert mutatenn.open_run(fresh)._store.tallies.statuses("board") == {}


def test_nothing_is_left_to_pack(directory: Path, results: Path, tmp_path: Path) -> None:
    ingest(directory, results, PluginHost.installed())
    with pytest.raises(InputError, match="nothing is to pack"):
        bundle(directory, "board", tmp_path / "x.zip", PluginHost.installed())
    with pytest.raises(InputError, match=r"'bord'.*'board'"):
        bundle(directory, "bord", tmp_path / "x.zip", PluginHost.installed())
    assert os.listdir(tmp_path) == []
