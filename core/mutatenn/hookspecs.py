"""The hooks, under the name that plugins know them by; they stand in :mod:`mutatenn.host.hookspecs`."""

from mutatenn.host.hookspecs import *  # noqa: F403
