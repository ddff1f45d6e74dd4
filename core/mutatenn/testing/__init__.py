"""Checks for plugin authors to call in their tests; a broken promise is an AssertionError that names it."""

from mutatenn.testing.comparators import check_comparator
from mutatenn.testing.devices.check import check_device
from mutatenn.testing.executors import check_executor
from mutatenn.testing.frontends import check_frontend
from mutatenn.testing.jobs import made_job
from mutatenn.testing.mutators import check_mutator
from mutatenn.testing.plugin_module import check_plugin_module
from mutatenn.testing.reporters import check_reporter
from mutatenn.testing.runs import made_run

__all__ = [
    "check_comparator",
    "check_device",
    "check_executor",
    "check_frontend",
    "check_mutator",
    "check_plugin_module",
    "check_reporter",
    "made_job",
    "made_run",
]
