"""Checks a plugin module in all its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.errors import PluginError
from mutatenn.host.plugin_host import PluginHost
from mutatenn.testing.comparators import check_comparator
from mutatenn.testing.executors import check_executor
from mutatenn.testing.mutators import check_mutator
from mutatenn.testing.promises import require
from mutatenn.testing.reporters import check_reporter

if TYPE_CHECKING:
    from types import ModuleType


def check_plugin_module(module: ModuleType) -> None:
    """Check that the host accepts a plugin module, then all in it that can be checked as it stands.

    These are its mutators, comparators, executors and reporters, with default options. A frontend is checked
    on a model, by :func:`check_frontend`, and a backend where there is a device, by :func:`check_device`.
    """
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
    for executor in host.executors().values():
        check_executor(executor)
    for reporter in host.reporters().values():
        check_reporter(reporter)
