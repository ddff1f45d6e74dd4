"""The installed metadata, the table in pyproject and the plugin folders agree."""

from __future__ import annotations

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import mutatenn
from mutatenn.host.plugin_host import PluginHost

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED: dict[str, str] = PROJECT["entry-points"]["mutatenn"]
SOURCES = [*ROOT.glob("core/*/**/*.py"), *ROOT.glob("plugins/*/*/**/*.py")]
PLUGINS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts[1 if path.is_relative_to(ROOT / "core") else 2 :])
    for path in SOURCES
    if re.search(r"^@hookimpl$", path.read_text(), re.MULTILINE)
]


def test_the_installed_entry_points_are_current() -> None:
    points = distribution("mutatenn").entry_points.select(group="mutatenn")
    assert {point.name: point.value for point in points} == DECLARED, "run: pip install -e ."


def test_every_plugin_module_is_declared() -> None:
    assert sorted(PLUGINS) == sorted(DECLARED.values()), (
        "mend [project.entry-points.mutatenn], then: pip install -e ."
    )


@pytest.mark.parametrize("name", DECLARED)
def test_a_built_in_is_active_and_named_after_kind_and_path(name: str) -> None:
    kind, _, stem = name.partition(".")
    path = DECLARED[name].replace("_", "-").replace(".", "-")
    assert path.endswith(f"-{stem}"), "a name is the end of its module's path"
    (record,) = (record for record in PluginHost.installed().records if record.name == name)
    assert (record.state, record.reason) == ("active", "")
    assert {f"{kind}s" for kind in record.kinds} == {kind}


def test_the_version_is_the_same_everywhere() -> None:
    assert mutatenn.__version__ == PROJECT["version"] == distribution("mutatenn").version, (
        "run: pip install -e ."
    )


def test_every_package_is_typed() -> None:
    packages = [
        path.parent for path in (*ROOT.glob("core/*/__init__.py"), *ROOT.glob("plugins/*/*/__init__.py"))
    ]
    assert len(packages) == 6
    assert [package for package in packages if not (package / "py.typed").exists()] == []
