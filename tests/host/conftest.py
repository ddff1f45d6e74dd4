from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

Install = Callable[..., None]

PRELUDE = '"""A plugin made up for a test."""\nfrom mutatenn import *\n'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a distribution: its entry points, and one module ``<entry point>``."""
    monkeypatch.delenv("MUTATENN_BLOCK_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    modules: list[str] = []

    def install(name: str, source: str, distribution: str = "acme", module: str = "") -> None:
        module = module or f"{distribution}_{name.replace('-', '_').replace('.', '_')}"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(PRELUDE + dedent(source))
        metadata = tmp_path / f"{distribution}-1.2.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        points = metadata / "entry_points.txt"
        known = points.read_text() if points.exists() else "[mutatenn]\n"
        points.write_text(f"{known}{name} = {module}\n")

    yield install
    for module in modules:
        sys.modules.pop(module, None)
