"""Makes a mutant, and records what it changes in the code, for people to read."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from mutatenn.campaign.execution.derive import derive
from mutatenn.files import write_atomically
from mutatenn.results.record import CHANGE, changes_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mutatenn.api.mutant import Mutant
    from mutatenn.api.program import Program
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.compiler.toolchain import Change


def derive_recorded(mutant: Mutant, setup: Setup, directory: Path, environment: str) -> Program:
    """Return a mutant's program, as :func:`derive` does, and record what it changes in a run directory."""
    program, changes = derive(mutant, setup.toolchains[environment], setup.host)
    _record(changes_folder(directory, mutant.id, environment), changes)
    return program


def _record(folder: Path, changes: Sequence[Change]) -> None:
    """Write ``before.py``, ``after.py`` and ``change.diff`` of a mutant."""
    before = "".join(f"# {change.unit}\n{change.before}\n" for change in changes)
    after = "".join(f"# {change.unit}\n{change.after}\n" for change in changes)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "before.py", "after.py", n=2, lineterm=""
    )
    for name, text in (("before.py", before), ("after.py", after), (CHANGE, "\n".join(lines) + "\n")):
        write_atomically(folder / name, text.encode())
