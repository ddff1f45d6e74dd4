"""Every command of the tutorial and of the recipes works; those of other pages are ones that there are."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mutatenn.cli._parser import whole_parser
from mutatenn.cli.main import Own, commands_of
from mutatenn.host.plugin_host import PluginHost

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
ENDS = re.compile(r"\s+# exits with (\d+)$")


def commands(page: str) -> list[str]:
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.slow
def test_every_command_works(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in [*commands("tutorial.md"), *commands("how-to.md")]:
        wanted = ENDS.search(command)
        done = subprocess.run(
            ["bash", "-c", ENDS.sub("", command)],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            text=True,
            capture_output=True,
        )
        assert done.returncode == (int(wanted[1]) if wanted else 0), f"{command}\n{done.stdout}{done.stderr}"


def test_no_other_page_has_commands_that_nothing_runs() -> None:
    pages = {path.name for path in DOCS.glob("*.md") if commands(path.name)}
    assert pages == {"tutorial.md", "how-to.md"}


LINE = re.compile(r"^(?:    |\$ )?(?:\.venv/bin/)?mutatenn (?!\()(.*)$", re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("examples/*/README.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_ones_that_there_are(page: Path, parser: argparse.ArgumentParser) -> None:
    for line in LINE.findall(page.read_text(encoding="utf-8")):
        plain = re.sub(r"\$\(.*\)", "X", ENDS.sub("", line)).partition("  #")[0].partition(" | ")[0]
        parser.parse_args(shlex.split(plain, comments=True))


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    host = PluginHost.installed()
    host.register(Own(), "core")
    return whole_parser(commands_of(host))
