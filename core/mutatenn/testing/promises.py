"""Raises AssertionErrors that name the promise which is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn.errors import PluginError
from mutatenn.host.admission import check_capability

if TYPE_CHECKING:
    from mutatenn.api.capability import Kind


def check_class(kind: Kind, cls: type[Any]) -> None:
    """Raise AssertionError for a class that the plugin host would refuse."""
    try:
        check_capability(kind, cls)
    except PluginError as error:
        raise AssertionError(str(error)) from error


def require(holds: bool, promise: str) -> None:
    """Raise AssertionError that names a promise unless it holds."""
    if not holds:
        raise AssertionError(f"not true: {promise}")
