"""Says what of a campaign differs from the one that a run directory was made by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn.campaign.config.load import parse_file
from mutatenn.campaign.config.readers import member, shown
from mutatenn.campaign.config.values import NOT_DECIDING, plain
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.results.store import Store

MOST = 4
"""Differences that are told."""
ABSENT = object()


def differences(setup: Setup, store: Store, campaign_file: Path) -> str:
    """Return what differs, most telling first, in a few words: ``dataset.limit: none here, 100 there``."""
    found = [*_settings(setup, campaign_file), *_model(setup, store), *_images(setup, store)]
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return "; ".join([*found[:MOST], *more])


def _settings(setup: Setup, campaign_file: Path) -> Iterator[str]:
    try:
        there = parse_file(campaign_file)
    except InputError:  # it is gone, or not what was written
        return
    here = plain(setup.campaign)
    for settings in (here, there):
        for key in ("name", *NOT_DECIDING):
            settings.pop(key, None)
        settings.get("limits", {}).pop("shard_bytes", None)
    for path, one, other in _leaves(here, there):
        yield f"{path.lstrip('.')}: {_told(one)} here, {_told(other)} there"


def _leaves(here: Any, there: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield path and both values of all that differs between two trees of plain data."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in dict.fromkeys([*here, *there]):
            yield from _leaves(here.get(key, ABSENT), there.get(key, ABSENT), f"{path}{member(key)}")
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for index, (one, other) in enumerate(zip(here, there, strict=True)):
            yield from _leaves(one, other, f"{path}[{index}]")
    elif here != there:
        yield path, here, there


def _told(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{len(value)} of them"
    return "none" if value is ABSENT else shown(value)


def _model(setup: Setup, store: Store) -> Iterator[str]:
    told = (store.meta("facts") or {}).get("model", {})
    if told.get("digest") != setup.model.digest:
        yield "the model has changed"


def _images(setup: Setup, store: Store) -> Iterator[str]:
    there = {name: digest for name, _, digest in store.images()}
    here = dict(zip(setup.dataset.names, setup.dataset.digests, strict=True))
    counts = {
        "changed": sum(here[name] != there[name] for name in here.keys() & there.keys()),
        "new here": len(here.keys() - there.keys()),
        "missing here": len(there.keys() - here.keys()),
    }
    for what, number in counts.items():
        if number:
            yield f"{number} image{'s' * (number > 1)} {what}"
