"""Makes the oracles of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.errors import InputError
from mutatenn.host.options import create

if TYPE_CHECKING:
    from mutatenn.api.comparator import Comparator
    from mutatenn.campaign.config.values import Oracles
    from mutatenn.host.plugin_host import PluginHost


def open_oracles(section: Oracles, host: PluginHost) -> dict[str, Comparator]:
    """Return the oracles by name, the kill oracle first; naming it again in ``also`` adds nothing.

    Raises InputError for one that is given twice with different options, or takes others.
    """
    specs = (section.kill, *(spec for spec in section.also if spec != section.kill))
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"oracle {name!r} is given twice with different options; keep one of them")
    return {spec.name: create(host.get("comparator", spec.name), spec.options) for spec in specs}
