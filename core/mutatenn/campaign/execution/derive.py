"""Makes a planned mutant's program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.compiler.toolchain import Fault
from mutatenn.host.options import create

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn.api.mutant import Mutant
    from mutatenn.api.program import Program
    from mutatenn.compiler.toolchain import Change, Toolchain
    from mutatenn.host.plugin_host import PluginHost


def derive(mutant: Mutant, toolchain: Toolchain, host: PluginHost) -> tuple[Program, Sequence[Change]]:
    """Return the program of a mutant and what it changes; raises BuildError if the compiler rejects it.

    An operator's code runs here, and may do anything: call it in a process of its own.
    """
    return toolchain.combine([_fault(part, host) for part in mutant.parts or (mutant,)])


def _fault(mutant: Mutant, host: PluginHost) -> Fault:
    mutator = create(host.get("mutator", mutant.operator), mutant.options)
    sites: dict[str, set[int]] = {}
    for site in mutant.sites:
        sites.setdefault(site.unit, set()).add(site.ordinal)
    return Fault(mutator, mutant.stage, sites)
