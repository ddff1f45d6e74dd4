"""What is installed keeps its promises."""

from __future__ import annotations

import pytest

from mutatenn.host.plugin_host import PluginHost
from mutatenn.testing import check_comparator, check_mutator

INSTALLED = PluginHost.installed()


@pytest.mark.parametrize("name", INSTALLED.mutators())
def test_every_mutator(name: str) -> None:
    check_mutator(INSTALLED.get("mutator", name))


@pytest.mark.parametrize("name", INSTALLED.comparators())
def test_every_comparator(name: str) -> None:
    check_comparator(INSTALLED.get("comparator", name))
