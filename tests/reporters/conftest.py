"""One real run with what the terminal reporter said meanwhile, and runs made by hand for rare states."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

import mutatenn
from mutatenn.results.run import Run
from mutatenn.testing import made_run

Make = Callable[..., Run]

CAMPAIGN = """
name = "small"

[model]
path = "mutatenn:digits.onnx"

[preprocess]
mean = 127.5
std = 127.5

[dataset]
images = ["mutatenn:digits/[0-5]_00*.png"]
truth = "filename-prefix"

[[environments]]
name = "cpu"
backend = "llvm"

[[environments]]
name = "cpu-basic"
backend = "llvm"
profile = "basic"

[[mutations]]
operator = "relu-to-sigmoid"
sites = [0, 3]

[[mutations]]
operator = "lt-to-le"
sites = [0, 3]

[[mutations]]
operator = "store-times-one-plus-epsilon"
sites = [0, 3]

[[mutations]]
operator = "gt-to-ge"

[oracles]
kill = "top-1"
also = ["max-abs"]
"""


@attrs.frozen
class Finished:
    run: Run
    said: str


@pytest.fixture(autouse=True)
def _no_forced_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a run in two environments, and what its reporter wrote to standard output."""
    folder = tmp_path_factory.mktemp("reported")
    (folder / "small.toml").write_text(CAMPAIGN)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run = mutatenn.run(folder / "small.toml", folder / "run", workers=1, reporters=["terminal"])
    return Finished(run, said.getvalue())


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return what makes a run by hand; see :func:`mutatenn.testing.made_run`."""
    made: list[Run] = []

    def make(environments: Mapping[str, Mapping[str, Mapping[str, Any] | None]], **options: Any) -> Run:
        made.append(made_run(tmp_path / "run", environments, **options))
        return made[-1]

    yield make
    for run in made:
        run._store.close()
