"""Finds planned mutants by what the user calls them."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from mutatenn.errors import InputError
from mutatenn.nearest import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn.campaign.config.values import Campaign
    from mutatenn.results.store import RemarkKind


def select(name: str, ids: Sequence[str]) -> list[str]:
    """Return the mutants of an id, of a pattern of ids with ``*`` and ``?``, or whose ids begin so.

    Raises InputError if there is none.
    """
    pattern = name if set("*?[") & set(name) else f"{name}*"
    found = [name] if name in ids else fnmatch.filter(ids, pattern)
    if not found:
        hint = suggestion(name, ids) or "; `mutatenn plan --list` lists all"
        raise InputError(f"no planned mutant is called {name!r}{hint}")
    return found


def remarks(campaign: Campaign, ids: Sequence[str]) -> Iterator[tuple[RemarkKind, str, str]]:
    """Yield (kind, mutant, reason) of all remarks; raises InputError for one that fits no mutant."""
    yield from (
        ("skip", mutant, each.reason) for each in campaign.skip for mutant in select(each.mutants, ids)
    )
    yield from (
        ("accept", mutant, each.reason) for each in campaign.accept for mutant in select(each.mutants, ids)
    )
