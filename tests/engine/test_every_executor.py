"""Every installed executor keeps its promises."""

from __future__ import annotations

import pytest

from mutatenn.host.plugin_host import PluginHost
from mutatenn.testing import check_executor

EXECUTORS = PluginHost.installed().executors()


@pytest.mark.parametrize("name", EXECUTORS)
def test_it_keeps_its_promises(name: str) -> None:
    check_executor(EXECUTORS[name])
