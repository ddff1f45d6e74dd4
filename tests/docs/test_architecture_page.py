"""The tree in docs/architecture.md is that of the source."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def listed() -> set[str]:
    """Return the paths of the page's tree, by its indentation."""
    found, above = set(), dict[int, str]()
    tree = PAGE.partition("## The tree")[2].partition("##")[0]
    for line in tree.splitlines():
        if match := re.match(r"    ( *)([\w/.]+)(?: |$)", line):
            depth, name = len(match[1]), match[2].rstrip("/")
            above = {key: value for key, value in above.items() if key < depth}
            path = "/".join([*above.values(), name])
            above[depth] = name
            found.add(path)
    return found


def test_every_folder_of_the_source_is_in_the_tree() -> None:
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for kind in ("core", "plugins")
        for path in (ROOT / kind).rglob("__init__.py")
    }
    assert folders - listed() == set()


def test_every_path_of_the_tree_exists() -> None:
    assert [path for path in sorted(listed()) if not (ROOT / path).exists()] == []


def test_every_module_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", PAGE))
    places = [ROOT, ROOT / "core" / "mutatenn"]
    missing = [name for name in named if not any((place / name).exists() for place in places)]
    inside = {path.name for path in (ROOT / "core").rglob("*.py")}
    assert [name for name in missing if "/" in name or name not in inside] == []
    assert len(named) > 15
