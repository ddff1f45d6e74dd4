"""The example plugin is installed for real, shows up, and does what its README says."""

from __future__ import annotations

import json

import pytest
from installing import install, listed, python, rows

EXAMPLE = "mutatenn-plugin-sign-flip"

USE_IT = """
import mutatenn_plugin_sign_flip
from mutatenn import ir
from mutatenn.host.plugin_host import PluginHost
from mutatenn.testing import check_plugin_module

check_plugin_module(mutatenn_plugin_sign_flip)
operator = PluginHost.installed().get("mutator", "sign-flip")()
(example,) = operator.examples()
print(operator.apply(ir.script.from_source(example.before), (0,)))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the example is installed."""
    return install(EXAMPLE, tmp_path_factory.mktemp("site"))


def test_it_is_listed_as_active(installed: dict[str, str]) -> None:
    rows = json.loads(python(installed, "-m", "mutatenn", "plugins", "--json"))
    found = {row["name"]: row for row in rows if row["plugin"] == "sign-flip"}
    assert found.keys() == {"sign-flip", "sign-changes"}
    for row in found.values():
        assert (row["state"], row["distribution"]) == ("active", "mutatenn-plugin-sign-flip")


def test_its_readme_shows_the_rows(installed: dict[str, str]) -> None:
    found = listed(installed, EXAMPLE)
    assert len(found) == 2
    assert all(row in rows(EXAMPLE) for row in found)


def test_its_operator_works(installed: dict[str, str]) -> None:
    assert "A[i] * T.float32(-2.5)" in python(installed, "-c", USE_IT)


def test_it_can_be_blocked(installed: dict[str, str]) -> None:
    rows = json.loads(python(installed, "-m", "mutatenn", "plugins", "--json", "--block-plugin", "sign-flip"))
    assert [row["state"] for row in rows if row["plugin"] == "sign-flip"] == ["blocked"]
