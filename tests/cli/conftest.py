"""The commands as a user calls them, and one small run that they share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from mutatenn.cli.main import main

# 25 images of all classes; four mutants: two killed, a survivor, one never infected.
HEAD = """
name = "small"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/*_00*.png"
truth = "filename-prefix"
"""
MUTATIONS = """
[[mutations]]
operator = "transpose-conv2d-data"
sites = [1]
[[mutations]]
operator = "exp-conv2d-before"
sites = "together"
[[mutations]]
operator = "store-int16"
sites = [37]
[[mutations]]
operator = "store-minus-epsilon"
sites = [47]
"""


@attrs.frozen
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@attrs.frozen
class Finished:
    """A run made by the real command: where, of what, and what it printed."""

    directory: Path
    campaign: Path
    done: Done


def call(*argv: object) -> Done:
    """Call the command in a process of its own."""
    program = [sys.executable, "-m", "mutatenn", *map(str, argv)]
    done = subprocess.run(program, text=True, capture_output=True)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("cli")
    campaign = folder / "small.toml"
    campaign.write_text(HEAD + MUTATIONS)
    return Finished(folder / "run", campaign, call("run", campaign, "--out", folder / "run", "--workers", 2))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the small campaign, with pairs of text replaced, or other mutations."""

    def write(*changes: tuple[str, str], mutations: str = MUTATIONS, tail: str = "") -> Path:
        text = HEAD + mutations + tail
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "campaign.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that installs the plugin ``acme``, a module of this source."""

    def install(source: str) -> None:
        folder = tmp_path / "site"
        metadata = folder / "acme-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[mutatenn]\nacme = acme\n")
        (folder / "acme.py").write_text(
            f'"""A plugin made up for a test."""\nfrom mutatenn import *\n{source}'
        )
        monkeypatch.syspath_prepend(folder)

    yield install
    sys.modules.pop("acme", None)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that calls the command in this process."""

    def command(*argv: object) -> Done:
        code = main([str(argument) for argument in argv])
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return command
