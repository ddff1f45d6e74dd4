"""Where in the user's repository a result belongs: the line of the campaign file that asked for it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from mutatenn import Run

OPERATOR = re.compile(r"""^\s*operator\s*=\s*(["'])(.*?)\1""")
LARGEST = 2**20


@attrs.frozen
class Place:
    """The campaign file, relative to the repository, and the lines that name operators, counted from 1."""

    path: str
    lines: dict[str, int]

    def line(self, operator: str) -> int:
        """Return the line that asks for an operator; else the first that asks for any, or the first."""
        return self.lines.get(operator) or next(iter(self.lines.values()), 1)


def place(run: Run) -> Place:
    """Return where results of a run belong.

    That is its campaign file, where it lies in the workspace of the CI server (``GITHUB_WORKSPACE``), or in
    the folder that the command is run in; else the copy in the run directory.
    """
    root = Path(os.environ.get("GITHUB_WORKSPACE") or os.getcwd()).resolve()
    for path in (Path(str(run.facts.get("campaign", ""))), run.directory.resolve() / "campaign.toml"):
        if path.is_absolute() and path.is_file() and path.resolve().is_relative_to(root):
            return Place(path.resolve().relative_to(root).as_posix(), _lines(path))
    return Place("campaign.toml", _lines(run.directory / "campaign.toml"))


def _lines(path: Path) -> dict[str, int]:
    try:
        with path.open(errors="replace") as file:
            lines = file.read(LARGEST).splitlines()
    except OSError:
        return {}
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if told := OPERATOR.match(line):
            found.setdefault(told[2], number)
    return found
