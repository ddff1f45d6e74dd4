"""Probabilities of many tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

Key = TypeVar("Key", bound="Hashable")


def holm(chances: Mapping[Key, float]) -> dict[Key, float]:
    """Return probabilities corrected for their number.

    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6, 1979.
    """
    found: dict[Key, float] = {}
    largest = 0.0
    for rank, (name, chance) in enumerate(sorted(chances.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, chance * (len(chances) - rank)))
        found[name] = largest
    return found
