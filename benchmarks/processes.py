"""Runs a task in a fresh process and watches the memory of the whole process tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = {f"{library}_NUM_THREADS": "1" for library in ("TVM", "OMP", "OPENBLAS")}
TASKS = Path(__file__).with_name("tasks.py")
PAUSES = (0.1, 2.0)  # seconds between two looks at the memory, first and longest: a look takes time itself


def run_task(name: str, *, kernels: Path, **arguments: Any) -> dict[str, Any]:
    """Return what a task of tasks.py returns, with ``wall`` in seconds and ``tree_mib``.

    ``kernels`` is the kernel cache it uses. Raises SystemExit with the task's messages if it fails.
    """
    command = [sys.executable, str(TASKS), name, json.dumps(arguments)]
    seen = run_watched(command, kernels)
    answer: dict[str, Any] = json.loads(seen.pop("output").splitlines()[-1])
    return {**answer, **seen}


def run_watched(command: list[str], kernels: Path) -> dict[str, Any]:
    """Run a command to its end; return ``output``, ``wall`` (seconds) and ``tree_mib`` (peak)."""
    environment = {**os.environ, **THREADS, "MUTATENN_KERNEL_CACHE": str(kernels)}
    started, peak = time.perf_counter(), 0
    pause, longest = PAUSES
    with subprocess.Popen(  # noqa: S603 - our own
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        output = errors = None
        while output is None:
            try:
                output, errors = process.communicate(timeout=pause)
            except subprocess.TimeoutExpired:  # noqa: PERF203 - it ticks a few times a second
                peak = max(peak, sum(_memory(pid) for pid in _tree(process.pid)))
                pause = min(1.2 * pause, longest)
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors}")
    return {"output": output, "wall": time.perf_counter() - started, "tree_mib": peak / 1024}


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # it has ended meanwhile
        return
    for child in children:
        yield from _tree(int(child))


def _memory(pid: int) -> int:
    """Return a process's share of memory in KiB; pages shared by forked workers count once in all."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
