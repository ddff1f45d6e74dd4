"""Raises AssertionErrors that name the promise which is broken."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from mutatenn.errors import PluginError
from mutatenn.host.admission import check_capability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn.api.capability import Kind


@contextlib.contextmanager
def keeping(promise: str, *passing: type[Exception]) -> Iterator[None]:
    """Raise AssertionError that names a promise if the body raises; errors that are ``passing`` pass."""
    try:
        yield
    except AssertionError as detail:
        raise AssertionError(f"not true: {promise}; {detail}") from detail
    except passing:
        raise
    except Exception as error:
        raise AssertionError(f"not true: {promise}; {type(error).__name__}: {error}") from error


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
