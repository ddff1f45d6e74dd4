"""Chooses which of the original's values to keep per image, when there is no room for all of them.

What is not kept is computed again, from kept values, for the mutants that need it. Much room is saved for
little work: the widest values of a network are often made of narrow ones by a cheap kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn.engine.link import LinkedProgram

SMALLEST_SHARE = 8
"""Values are kept down to an eighth of their bytes; for less room, fewer images are kept together."""


@attrs.frozen
class _Value:
    """A result by its number: what it takes, its step's seconds, which results that step needs, its uses."""

    nbytes: int
    seconds: float
    needs: tuple[int, ...]
    uses: int


def choose_kept(linked: LinkedProgram, seconds: Sequence[float], room: int) -> frozenset[int]:
    """Return the numbers of the results to keep so that those of one image take at most ``room`` bytes.

    ``seconds`` are those of every step. Values are dropped one by one, each time the one that saves most
    bytes for the seconds that its users will spend on computing it again.
    """
    values = _values(linked, seconds)
    kept, dropped = set(values), []
    left = room - sum(value.nbytes for value in values.values())
    while left < 0:
        again = _seconds_again(values, kept)
        dropped.append(max(kept, key=lambda n: values[n].nbytes / (again[n] * values[n].uses + 1e-9)))
        kept.discard(dropped[-1])
        left += values[dropped[-1]].nbytes
    for number in reversed(dropped):  # the last one may have left room for smaller ones
        if values[number].nbytes <= left:
            kept.add(number)
            left -= values[number].nbytes
    return frozenset(kept)


def _values(linked: LinkedProgram, seconds: Sequence[float]) -> dict[int, _Value]:
    values: dict[int, _Value] = {}
    for step, spent in zip(linked.steps, seconds, strict=True):
        needs = tuple(number for value in step.arguments if (number := linked.numbers[value]) in values)
        for value, spec in zip(step.results, step.specs, strict=True):
            values[linked.numbers[value]] = _Value(spec.nbytes, spent, needs, linked.uses[value])
    return values


def _seconds_again(values: dict[int, _Value], kept: set[int]) -> dict[int, float]:
    """Return the seconds it takes to compute each value again from kept ones."""
    again: dict[int, float] = {}
    for number, value in values.items():  # in an order in which they can run
        needed = sum(again[each] for each in value.needs if each not in kept)
        again[number] = value.seconds + needed
    return again
