"""Imports point down in core, core knows no plugin, and plugins know nothing but the public name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# From bottom to top; what stands on one line is one layer. "mutatenn" is the public name itself.
LAYERS: list[set[str]] = [
    {"errors", "locks", "nearest", "printable", "private", "sources", "typed"},
    {"api"},
    {"hookspecs"},
    {"admission"},
    {"border"},
    {"host"},
    {"compiler"},
    {"engine"},
    {"campaign"},
    {"mutatenn", "testing", "_testing_device"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
CORE = sorted((ROOT / "core/mutatenn").rglob("*.py"))
PLUGINS = sorted(ROOT.glob("plugins/*/*/**/*.py"))


def layer(module: str) -> str:
    """Return the part of ``mutatenn.<layer>...`` that decides, ``mutatenn`` for the public name."""
    return [*module.split("."), "mutatenn"][1]


def imports(path: Path) -> Iterator[str]:
    """Yield the modules a file imports when it runs, anywhere in it; what only types need is left out."""
    tree = ast.parse(path.read_text())
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (_imported(f"{node.module}", alias.name) for alias in node.names)


def _imported(module: str, name: str) -> str:
    """Return the module that ``from module import name`` imports."""
    path = ROOT / "core" / Path(*module.split("."), name)
    return f"{module}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else module


def own(path: Path) -> str:
    parts = path.relative_to(ROOT / "core").with_suffix("").parts
    return "mutatenn" if parts[1] == "__init__" else parts[1]


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_in_core_point_down(path: Path) -> None:
    here = own(path)
    for module in imports(path):
        if module.split(".")[0] == "mutatenn":
            target = layer(module)
            assert target == here or RANK[target] < RANK[here], f"{here} imports {module}"


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_core_imports_no_plugin(path: Path) -> None:
    assert [module for module in imports(path) if module.startswith("mutatenn_")] == []


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_nothing_but_the_public_name(path: Path) -> None:
    package = path.relative_to(ROOT / "plugins").parts[1]
    ours = [module for module in imports(path) if module.startswith("mutatenn")]
    assert [m for m in ours if m != "mutatenn" and m.split(".")[0] != package] == []


def test_the_layers_are_all_there_is() -> None:
    assert {own(path) for path in CORE} <= RANK.keys()
