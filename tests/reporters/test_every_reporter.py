"""Every installed reporter keeps its promises, in every state of a run."""

from __future__ import annotations

import pytest

from mutatenn.host.plugin_host import PluginHost
from mutatenn.testing import check_reporter

REPORTERS = PluginHost.installed().reporters()


@pytest.mark.parametrize("name", REPORTERS)
def test_it_keeps_its_promises(name: str) -> None:
    check_reporter(REPORTERS[name])
