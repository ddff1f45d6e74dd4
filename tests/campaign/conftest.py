from __future__ import annotations

from pathlib import Path

import pytest

import mutatenn
from mutatenn.results.run import Run

# Three images of each of four classes; operators that together give every common verdict.
CAMPAIGN = """
name = "small"
seed = 3

[model]
path = "mutatenn:digits.onnx"

[preprocess]
mean = 127.5
std = 127.5

[dataset]
images = ["mutatenn:digits/0_0[0-2]*.png", "mutatenn:digits/[1-4]_00*.png"]
truth = "filename-prefix"

[[mutations]]
operator = "transpose-conv2d-data"
sites = [0, 3]

[[mutations]]
operator = "add-to-subtract"
sites = "together"

[[mutations]]
operator = "store-times-one-plus-epsilon"
sites = [0, 7]

[[mutations]]
operator = "store-int8"
sites = { sample = 4 }

[[mutations]]
operator = "lt-to-le"
sites = [0]

[[mutations]]
operator = "store-minus-epsilon"
sites = { sample = 20, seed = 10 }
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(CAMPAIGN)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(CAMPAIGN)
    return mutatenn.run(folder / "small.toml", folder / "run")
