"""What every built-in backend says of its devices."""

from __future__ import annotations

import pytest

from mutatenn import Backend
from mutatenn.host.plugin_host import PluginHost

BACKENDS = PluginHost.installed().backends()


def test_only_a_processor_is_shared_with_forked_processes() -> None:
    assert [name for name, backend in BACKENDS.items() if backend.shares_fork] == ["llvm"]


@pytest.mark.parametrize("cls", BACKENDS.values(), ids=BACKENDS)
def test_executor_and_places_follow(cls: type[Backend]) -> None:
    backend = cls()
    expected = ("fork", None) if cls.shares_fork else ("worker", 1)
    assert (backend.executor, backend.places) == expected


def test_a_backend_may_name_an_executor_of_its_own() -> None:
    class Elsewhere(BACKENDS["llvm"]):
        executor = "farm"

    assert (Elsewhere().executor, Elsewhere().places) == ("farm", None)
