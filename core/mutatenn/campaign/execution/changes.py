"""Records what a mutant changes in the code, for people to read."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from mutatenn.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mutatenn.compiler.toolchain import Change


def record_changes(folder: Path, changes: Sequence[Change]) -> None:
    """Write ``before.py``, ``after.py`` and ``change.diff`` of a mutant."""
    before = "".join(f"# {change.unit}\n{change.before}\n" for change in changes)
    after = "".join(f"# {change.unit}\n{change.after}\n" for change in changes)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "before.py", "after.py", n=2, lineterm=""
    )
    for name, text in (("before.py", before), ("after.py", after), ("change.diff", "\n".join(lines) + "\n")):
        write_atomically(folder / name, text.encode())
