"""Chooses sites by the layers of the user's own network."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from mutatenn.errors import InputError
from mutatenn.nearest import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mutatenn.api.values import Layer
    from mutatenn.campaign.config.values import Layers

PARTS = (".", "/")
"""What stands between the parts of a layer's name."""


def chosen_layers(wanted: Layers, known: Sequence[Layer]) -> set[Layer]:
    """Return the layers that a campaign asks for, of those of the model in order.

    Raises InputError for a name or type that no layer has, and where the frontend does not tell layers.
    """
    if not known:
        raise InputError("layers cannot be chosen: this model's frontend does not tell which there are")
    names = _each("layer", wanted.names, known, lambda pattern, layer: _is_named(pattern, layer.name))
    types = _each("layer type", wanted.types, known, lambda name, layer: name == layer.type)
    found = [layer for layer in known if layer in names and layer in types]
    return set(found[: wanted.first])


def _each(
    kind: str, wanted: Sequence[str], known: Collection[Layer], fits: Callable[[str, Layer], bool]
) -> set[Layer]:
    found = set() if wanted else {*known}
    for each in wanted:
        fitting = {layer for layer in known if fits(each, layer)}
        if not fitting:
            there = {layer.name if kind == "layer" else layer.type for layer in known}
            raise InputError(unknown_name(kind, each, there))
        found |= fitting
    return found


def _is_named(pattern: str, name: str) -> bool:
    """Tell whether a pattern with ``*`` and ``?`` fits a layer, or names it or a part of which it is."""
    return fnmatch.fnmatchcase(name, pattern) or any(name.startswith(f"{pattern}{dot}") for dot in PARTS)
