"""Every command of the tutorial and of the recipes works, in order, in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
ENDS = re.compile(r"\s+# exits with (\d+)$")

pytestmark = pytest.mark.slow


def commands(page: str) -> list[str]:
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs")


@pytest.mark.parametrize("page", ["tutorial.md", "how-to.md"])
def test_every_command_works(page: str, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in commands(page):
        wanted = ENDS.search(command)
        done = subprocess.run(
            ["bash", "-c", ENDS.sub("", command)],
            cwd=folder,
            env=os.environ | {"PATH": path},
            text=True,
            capture_output=True,
        )
        assert done.returncode == (int(wanted[1]) if wanted else 0), f"{command}\n{done.stdout}{done.stderr}"


def test_no_other_page_has_commands_that_nothing_runs() -> None:
    pages = {path.name for path in DOCS.glob("*.md") if commands(path.name)}
    assert pages == {"tutorial.md", "how-to.md"}
