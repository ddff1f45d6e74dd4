"""``mutatenn completion``: what it prints completes commands, options and choices in a real shell."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def script(command: Command, tmp_path: Path) -> Path:
    done = command("completion", "bash")
    assert (done.code, done.err) == (0, "")
    path = tmp_path / "mutatenn.bash"
    path.write_text(done.out)
    return path


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (("pl",), ["plan", "plugins"]),
        (("sh",), ["show"]),
        (("run", "--min"), ["--min-score", "--min-low"]),
        (("plugins", "--kind", "exec"), ["executor"]),
    ],
)
def test_bash_completes(script: Path, typed: tuple[str, ...], completed: list[str]) -> None:
    words = " ".join(("mutatenn", *typed))
    lines = [
        f"source {script}",
        f"COMP_WORDS=({words}); COMP_CWORD={len(typed)}",
        f"_shtab_mutatenn mutatenn {typed[-1]} x",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(["bash", "-c", "\n".join(lines)], text=True, capture_output=True, check=True)
    assert set(completed) <= set(done.stdout.split())


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(command: Command, tmp_path: Path, shell: str) -> None:
    done = command("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "--min-score" in done.out or "min-score" in done.out
    if shutil.which(shell):
        (tmp_path / "script").write_text(done.out)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)
