"""A campaign on remote devices comes to the verdicts of this machine, whatever happens to the servers."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mutatenn
from mutatenn.results.run import Run

CAMPAIGN = """
name = "remote"
seed = 3

[model]
path = "mutatenn:digits.onnx"

[preprocess]
mean = 127.5
std = 127.5

[dataset]
images = ["mutatenn:digits/[0-5]_00*.png"]
truth = "filename-prefix"

[[environments]]
name = "here"
backend = "llvm"

[[environments]]
name = "there"
backend = "rpc"
options = { %s }

[[mutations]]
operator = "transpose-conv2d-data"
sites = [0, 3]

[[mutations]]
operator = "store-times-one-plus-epsilon"
sites = [0, 7]

[[mutations]]
operator = "store-int8"
sites = { sample = %d }

[[mutations]]
operator = "lt-to-le"
sites = %s
"""


def campaign(folder: Path, options: str, sample: int, sites: str) -> Path:
    path = folder / "remote.toml"
    path.write_text(CAMPAIGN % (options, sample, sites))
    return path


def check(run: Run) -> None:
    """Check that both environments came to the same, to the last bit of every output."""
    assert len(run.mutants) >= 8
    for mutant in run.mutants:
        here, there = mutant.verdicts["here"], mutant.verdicts["there"]
        assert there.status == here.status, (mutant.id, here.message, there.message)
        assert there.killed_images == here.killed_images
        assert (there.infected, there.propagated) == (here.infected, here.propagated)
    for each in (None, *(mutant.id for mutant in run.mutants)):
        assert run.outputs("there", each).tobytes() == run.outputs("here", each).tobytes()
    assert {mutant.verdicts["there"].status for mutant in run.mutants} >= {"killed", "survived"}


@pytest.mark.slow
def test_verdicts_there_are_those_of_here(servers: Any, supervised: Any, tmp_path: Path) -> None:
    options = f'port = {supervised.port}, key = "board"'
    check(mutatenn.run(campaign(tmp_path, options, 2, "[0, 3, 9]"), tmp_path / "run"))


class Trouble(threading.Thread):
    """Kills, at random moments, one of two servers or the tracker, and starts it again."""

    def __init__(self, servers: Any, seed: int) -> None:
        super().__init__()
        self.servers, self.chance, self.over, self.kills = servers, random.Random(seed), threading.Event(), 0
        self.tracker = servers.start("tvm.exec.rpc_tracker")
        self.boards = [servers.serve(self.tracker), servers.serve(self.tracker)]

    def run(self) -> None:
        while not self.over.wait(self.chance.uniform(2, 8)):
            self.kills += 1
            which = self.chance.randrange(5)
            if which == 4:
                self.tracker.kill()
                self.tracker = self.servers.start("tvm.exec.rpc_tracker", port=self.tracker.port)
            else:
                board = self.boards[which % 2]
                board.kill()
                self.boards[which % 2] = self.servers.serve(self.tracker, port=board.port)


@pytest.fixture
def trouble(servers: Any) -> Iterator[Trouble]:
    thread = Trouble(servers, seed=11)
    yield thread
    thread.over.set()
    if thread.is_alive():
        thread.join()


@pytest.mark.slow
def test_verdicts_survive_servers_and_tracker_that_die(trouble: Trouble, tmp_path: Path) -> None:
    options = f'tracker = "127.0.0.1:{trouble.tracker.port}", key = "board", connect_timeout = 60'
    path = campaign(tmp_path, options, 30, '"each"')
    trouble.start()
    for number in itertools.count():  # a fast machine is done before much has been killed
        check(mutatenn.run(path, tmp_path / f"run{number}"))
        if trouble.kills >= 3:
            break
    trouble.over.set()
    trouble.join()
