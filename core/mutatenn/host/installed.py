"""What plugins take of other plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn.host.options import create
from mutatenn.host.plugin_host import PluginHost

if TYPE_CHECKING:
    from mutatenn.api.backend import Backend


def installed_backend(name: str, **options: Any) -> Backend:
    """Return a backend of an installed plugin, for one that wraps it; see :class:`mutatenn.WrappedBackend`.

    Raises InputError if none has that name or it cannot take the options.
    """
    return create(PluginHost.installed().get("backend", name), options)
