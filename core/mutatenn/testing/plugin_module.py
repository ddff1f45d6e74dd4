"""Checks a plugin module in all its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.errors import PluginError
from mutatenn.host.plugin_host import PluginHost
from mutatenn.testing.comparators import check_comparator
from mutatenn.testing.mutators import check_mutator
from mutatenn.testing.promises import require

if TYPE_CHECKING:
    from types import ModuleType


def check_plugin_module(module: ModuleType) -> None:
    """Check that the host accepts a plugin module, then every mutator and comparator in it."""
    host = PluginHost()
    try:
        host.register(module, module.__name__)
    except PluginError as error:
        raise AssertionError(f"{module.__name__}: {error}") from error
    marked = [value for value in vars(module).values() if hasattr(value, "mutatenn_impl")]
    require(bool(marked), f"{module.__name__} marks at least one hook with @hookimpl")
    for mutator in host.mutators().values():
        check_mutator(mutator)
    for comparator in host.comparators().values():
        check_comparator(comparator)
