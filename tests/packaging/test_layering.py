"""Imports point down in core and never round, core knows no plugin, plugins know nothing but the public name.

What only types need counts as every other import.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
# From bottom to top; what stands on one line is one layer. "mutatenn" is the public name itself.
LAYERS: list[set[str]] = [
    {"code_digest", "errors", "json_values", "locks", "nearest", "printable", "private", "progress", "typed"},
    {"files", "globbing"},
    {"api"},
    {"border"},
    {"compiler", "results"},
    {"host"},
    {"hookspecs"},
    {"engine"},
    {"campaign"},
    {"analysis", "offline"},
    {"mutatenn", "testing"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
DECLARED = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["mutatenn"].values()
)
CORE = sorted((ROOT / "core/mutatenn").rglob("*.py"))
PLUGINS = sorted(ROOT.glob("plugins/*/*/**/*.py"))


MODULES = {
    ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
    for root in (ROOT / "core", *ROOT.glob("plugins/*"))
    for path in sorted(root.rglob("*.py"))
}


def layer(module: str) -> str:
    """Return the part of ``mutatenn.<layer>...`` that decides, ``mutatenn`` for the public name."""
    return [*module.split("."), "mutatenn"][1]


def imports(path: Path) -> Iterator[str]:
    """Yield the modules a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (_imported(f"{node.module}", alias.name) for alias in node.names)


def _imported(module: str, name: str) -> str:
    """Return the module that ``from module import name`` imports."""
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


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
    known = [module for module in imports(path) if module.startswith("mutatenn_") or module in DECLARED]
    assert known == [], "core does without its plugins, those of its own folders too"


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_nothing_but_the_public_name(path: Path) -> None:
    package = path.relative_to(ROOT / "plugins").parts[1]
    ours = [module for module in imports(path) if module.startswith("mutatenn")]
    assert [m for m in ours if m != "mutatenn" and m.split(".")[0] != package] == []


def test_the_layers_are_all_there_is() -> None:
    assert {own(path) for path in CORE} <= RANK.keys()


def test_no_imports_go_round() -> None:
    left = {name: {each for each in imports(path) if each in MODULES} for name, path in MODULES.items()}
    while leaves := {name for name, needed in left.items() if not needed & left.keys()}:
        left = {name: needed for name, needed in left.items() if name not in leaves}
    assert left == {}
