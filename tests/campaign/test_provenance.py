"""A run records what its own capabilities depend on, and come with."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import mutatenn
from mutatenn import PluginHost, hookimpl
from mutatenn.campaign.execution import provenance
from mutatenn_comparators.max_abs import MaxAbs

CAMPAIGN = """
name = "facts"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/*_0000.png"
[[mutations]]
operator = "store-int8"
sites = [0]
[oracles]
also = ["resting"]
"""


class Resting(MaxAbs):
    """An oracle that stands on pytest."""

    name = "resting"
    packages = ("pytest", "no-such-package")


class Plugin:
    @hookimpl
    def mutatenn_comparators(self) -> list[type[Resting]]:
        return [Resting]


def test_packages_of_the_capabilities_in_use(tmp_path: Path) -> None:
    host = PluginHost.installed()
    host.register(Plugin(), "resting")
    (tmp_path / "facts.toml").write_text(CAMPAIGN)
    versions = mutatenn.run(tmp_path / "facts.toml", tmp_path / "run", host=host).facts["versions"]
    assert versions["pytest"] == version("pytest")
    assert versions["mutatenn"] == mutatenn.__version__
    assert "no-such-package" not in versions
    assert "pyopencl" not in versions  # installed, and not used


def test_versions_are_of_what_is_installed() -> None:
    assert provenance.versions().keys() <= {"python", *provenance.PACKAGES}
    assert provenance.versions(["ruff"])["ruff"] == version("ruff")
