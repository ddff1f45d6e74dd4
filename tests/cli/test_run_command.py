"""``mutatenn run``: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn.campaign.config.resources import data_folder

Command = Callable[..., Any]
Write = Callable[..., Path]
Install = Callable[[str], None]

ONE = '[[mutations]]\noperator = "transpose-conv2d-data"\nsites = [1]\n'
MORTAL = '''
import os

class Mortal(KernelMutator):
    """Ends its own process while the file of this name exists."""
    name, nodes, marker = "mortal", ("BufferStore",), ""
    def rewrite(self, node):
        if os.path.exists(os.environ["MORTAL"]):
            os.kill(os.getpid(), 9)
        return node
    @classmethod
    def examples(cls): return ()

@hookimpl
def mutatenn_mutators(): return [Mortal]
'''


def test_a_whole_run(finished: Any) -> None:
    assert (finished.done.code, finished.done.err) == (0, "")
    lines = finished.done.out.splitlines()
    assert lines[-1] == mutatenn.open_run(finished.directory).score().line()
    assert f"wrote {finished.directory / 'report' / 'report.json'}" in lines


def test_the_report_is_in_the_run_directory(finished: Any) -> None:
    written = json.loads((finished.directory / "report" / "report.json").read_text())
    assert json.dumps(written).count("transpose-conv2d-data.main.1.") >= 1


def test_a_finished_run_is_not_run_again(finished: Any, command: Command) -> None:
    before = (finished.directory / "campaign.sqlite").stat().st_mtime_ns
    done = command("run", finished.campaign, "--out", finished.directory, "--reporter", "terminal")
    assert (done.code, done.out.splitlines()[-1]) == (0, finished.done.out.splitlines()[-1])
    assert (finished.directory / "campaign.sqlite").stat().st_mtime_ns == before


@pytest.mark.parametrize(("least", "code"), [("0.5", 0), ("0.51", 1), ("1", 1), ("0", 0)])
def test_a_score_below_the_least(finished: Any, command: Command, least: str, code: int) -> None:
    done = command("run", finished.campaign, "--out", finished.directory, "--min-score", least)
    assert (done.code, done.err) == (code, "")
    reason = f"min_score: the mutation score is 0.5 (2 of 4 mutants detected), below {least}"
    assert (f"\nthreshold failed: {reason}\ncampaign small\n" in done.out) is bool(code)
    assert done.out.splitlines()[-1].startswith("score 0.50 killed 2 ")


def test_without_reuse_the_outputs_are_the_same(
    finished: Any, write: Write, command: Command, tmp_path: Path
) -> None:
    done = command("run", write(mutations=ONE), "--out", tmp_path / "run", "--no-reuse")
    assert (done.code, done.err) == (0, "")
    run, reusing = mutatenn.open_run(tmp_path / "run"), mutatenn.open_run(finished.directory)
    (mutant,) = run.mutants
    assert np.array_equal(run.outputs("cpu", mutant.id), reusing.outputs("cpu", mutant.id))


def test_broken_machinery_is_told_and_retried(
    write: Write, command: Command, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "mortal"
    marker.touch()
    monkeypatch.setenv("MORTAL", str(marker))
    install(MORTAL)
    campaign = write(mutations=ONE + '[[mutations]]\noperator = "mortal"\nsites = [0]\n')
    done = command("run", campaign, "--out", tmp_path / "run", "--min-score", "1")
    assert done.code == 4
    assert done.err == "mutatenn: 1 mutant ended as infrastructure-error; run again to retry\n"
    assert done.out.splitlines()[-1].startswith("score 1.00 low 0.50 high 1.00 killed 1 ")
    marker.unlink()
    again = command("run", campaign, "--out", tmp_path / "run", "--min-score", "1")
    assert (again.code, again.err) == (0, "")
    assert " equivalent 1 " in again.out.splitlines()[-1]


def test_a_red_baseline_exits_with_3_and_can_be_mended(
    write: Write, command: Command, tmp_path: Path
) -> None:
    gate = "[gate]\nmin_accuracy = 0.9\n"
    write(("std = 127.5", "std = 1.0"), mutations=ONE, tail=gate)
    done = command("run", tmp_path / "campaign.toml", "--out", tmp_path / "run")
    assert done.code == 3
    (*_, line) = done.err.splitlines()
    assert line.startswith("mutatenn: error: the original fails the baseline gate: environment 'cpu': ")
    assert "gate.min_accuracy" in line
    write(mutations=ONE, tail=gate)
    assert command("run", tmp_path / "campaign.toml", "--out", tmp_path / "run").code == 0


def photos(folder: Path) -> Path:
    (folder / "photos").mkdir()
    for path in sorted((data_folder() / "digits").glob("[0-4]_00*.png")):
        shutil.copy(path, folder / "photos")
    shutil.copy(data_folder() / "digits.onnx", folder / "my net.onnx")
    return folder


@pytest.mark.slow
def test_a_model_and_a_folder_are_enough(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos(tmp_path))
    done = command("run", "my net.onnx", "--images", "photos")
    assert done.code == 0
    assert "mutatenn: wrote my net.toml; set mean, std in it" in done.err.splitlines()
    assert "preprocess.mean and std are not set" in done.err
    run = mutatenn.open_run("runs/my-net")
    assert len(run.mutants) == 80
    told = " ".join(done.out.split())
    assert re.search(
        r"Of 100 such faults in the compiled code, these \d+ images would notice \d+ \(\d+ to \d+\)\. They",
        told,
    )
    assert command("run", "my net.toml").code == 0


def test_a_model_whose_campaign_is_there(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos(tmp_path))
    Path("my net.toml").write_text("precious")
    done = command("run", "my net.onnx", "--images", "photos")
    assert (done.code, done.out) == (2, "")
    assert "my net.toml exists; run it (mutatenn run 'my net.toml'), or move it away" in done.err
    done = command("run", "my net.toml", "--images", "photos")
    assert (done.code, done.out) == (2, "")
    assert "--images goes with a model" in done.err


def test_pixels_that_nobody_scaled_are_told(write: Write, tmp_path: Path, command: Command) -> None:
    path = write(mutations=ONE)
    path.write_text(path.read_text().replace("mean = 127.5", "").replace("std = 127.5", ""))
    done = command("run", path, "--out", tmp_path / "run")
    assert done.err.startswith(
        "mutatenn: warning: preprocess.mean and std are not set, so pixels go in as 0 to "
    )
