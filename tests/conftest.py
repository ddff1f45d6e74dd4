from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings

RANDOM_KERNELS = Path(__file__).parent / "backends" / "schedules" / "random_kernels.py"

# Tests build into a kernel cache of their own: they must not depend on, nor fill, the user's.
if "MUTATENN_KERNEL_CACHE" not in os.environ:  # else it is that of the process that started this one
    folder = tempfile.mkdtemp(prefix="mutatenn-kernels-")
    os.environ["MUTATENN_KERNEL_CACHE"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

# A busy machine is no reason to fail: hypothesis' deadlines say nothing about the code.
settings.register_profile("mutatenn", deadline=None, max_examples=30)
settings.load_profile("mutatenn")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say why tests were skipped, a line for each reason."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count:4}: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(scope="session")
def random_graph() -> Callable[[int], tuple[str, Callable[..., Any], list[tuple[int, ...]]]]:
    """Return what makes a random graph of a seed: its kind, its body in Relax, its arguments' shapes."""
    spec = importlib.util.spec_from_file_location("random_kernels", RANDOM_KERNELS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def make(seed: int) -> tuple[str, Callable[..., Any], list[tuple[int, ...]]]:
        kind, (body, shapes) = module.random_graph(Random(seed))
        return kind, body, shapes

    return make
