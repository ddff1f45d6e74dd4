"""What the page knows of every mutant, column by column, so that a hundred thousand of them are few bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import Status, closest_survivors, kill_matrix
from mutatenn_reporters._text import cut

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from mutatenn import KillMatrix, Mutant, Run, Survivor, Verdict

LONGEST = 300
"""Characters of a name: nobody reads more, and a page of a million is no page."""
EXAMINED = 2000
"""Survivors of an environment that are ranked by how close they came, the others after them."""
STATUSES = tuple(Status)
NOT_RUN, NOT_PLANNED = -1, -2
"""In the place of a status."""


def short(text: object) -> str:
    """Return a name as the page shows it."""
    return cut(text, LONGEST)


@attrs.define
class Numbered:
    """Values by the order in which they came, each once."""

    _places: dict[Hashable, int] = attrs.field(init=False, factory=dict)

    def __call__(self, value: Hashable) -> int:
        """Return the place of a value."""
        return self._places.setdefault(value, len(self._places))

    def list(self) -> list[Any]:
        """Return the values."""
        return list(self._places)


@attrs.define(eq=False)
class Side:
    """One environment's columns, an entry per mutant of the page."""

    name: str
    matrix: KillMatrix
    groups: NDArray[np.uint8]
    """The different rows of the kill matrix, most bits first, without the empty one."""
    closest: dict[str, Survivor]
    _planned: frozenset[str]
    _rows: dict[str, int]
    _ranks: dict[str, int]
    columns: dict[str, list[Any]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.columns = {key: [] for key in ("status", "killed", "infected", "propagated", "labels")}
        self.columns |= {key: [] for key in ("row", "rank", "lost")}

    @classmethod
    def of(cls, run: Run, name: str) -> Side:
        """Read the kill matrix and the closest survivors of an environment."""
        matrix = kill_matrix(run, name)
        groups, rows = distinct(matrix.bits)
        close = closest_survivors(run, name, EXAMINED)
        numbered = dict(zip(matrix.mutants, rows.tolist(), strict=True))
        ranks = {each.mutant: rank for rank, each in enumerate(close)}
        planned = frozenset(run.mutants_of(name))
        return cls(name, matrix, groups, {each.mutant: each for each in close}, planned, numbered, ranks)

    def add(self, mutant: str, verdict: Verdict | None) -> None:
        """Add a mutant, None for one that has no verdict."""
        close = self.closest.get(mutant)
        waiting = NOT_RUN if mutant in self._planned else NOT_PLANNED
        values = {
            "status": STATUSES.index(verdict.status) if verdict else waiting,
            "killed": verdict.killed if verdict else 0,
            "infected": verdict.infected if verdict else 0,
            "propagated": verdict.propagated if verdict else 0,
            "labels": verdict.labels_changed if verdict else 0,
            "row": self._rows.get(mutant, -1),
            "rank": self._ranks.get(mutant, -1),
            "lost": float(f"{close.lost:.3g}") if close else 0,
        }
        for key, value in values.items():
            self.columns[key].append(value)


def distinct(bits: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return the different rows that have a bit, most bits first, and of each row its place; -1 for empty."""
    if not len(bits):
        return bits, np.zeros(0, np.intp)
    unique, place = np.unique(bits, axis=0, return_inverse=True)
    counts = np.bitwise_count(unique).sum(axis=1) if hasattr(np, "bitwise_count") else _counted(unique)
    order = np.argsort(-counts.astype(np.int64), kind="stable")
    order = order[counts[order] > 0]
    rank = np.full(len(unique), -1, np.intp)
    rank[order] = np.arange(len(order))
    return unique[order], rank[place.reshape(-1)]


def _counted(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.unpackbits(rows, axis=1).sum(axis=1, dtype=np.int64)
    return counts


@attrs.define(eq=False)
class Mutants:
    """The columns that are the same in every environment."""

    operators: Numbered = attrs.field(factory=Numbered)
    layers: Numbered = attrs.field(factory=Numbered)
    units: Numbered = attrs.field(factory=Numbered)
    reasons: Numbered = attrs.field(factory=Numbered)
    columns: dict[str, list[Any]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        names = ("id", "operator", "layers", "unit", "ordinal", "sites", "detail", "reason", "since")
        self.columns = {key: [] for key in names}

    def add(self, mutant: Mutant, reason: str, since: str) -> None:
        """Add a mutant, with the user's reason to skip or accept it, and what is new of it."""
        site = mutant.sites[0] if mutant.sites else None
        values = {
            "id": short(mutant.id),
            "operator": self.operators(short(mutant.operator)),
            "layers": self.layers(tuple(map(short, mutant.layers))),
            "unit": self.units(short(site.unit if site else "")),
            "ordinal": site.ordinal if site else 0,
            "sites": len(mutant.sites),
            "detail": short(site.detail if site else ""),
            "reason": self.reasons(short(reason)),
            "since": since,
        }
        for key, value in values.items():
            self.columns[key].append(value)


def statuses() -> list[dict[str, Any]]:
    """Return what the page needs to know of every status."""
    return [
        {
            "name": str(each),
            "label": each.replace("-", " "),
            "behaviour": each.behaviour,
            "detected": each.detected,
            "valid": each.valid,
        }
        for each in STATUSES
    ]


def since(run: Run) -> dict[str, str]:
    """Return how mutants fare since the earlier run, by id; in any environment."""
    found: dict[str, str] = {}
    for delta in filter(None, map(run.since, run.environments)):
        for how, names in (
            ("added", delta.added),
            ("noticed", delta.noticed),
            ("surviving", delta.surviving),
        ):
            found |= dict.fromkeys(names, how)
    return found


def columns(run: Run, sides: Sequence[Side]) -> Mutants:
    """Gather all mutants; fills the sides, too."""
    found, changed = Mutants(), since(run)
    for record in run.records():
        found.add(record.mutant, record.skipped or record.accepted, changed.get(record.id, ""))
        for side in sides:
            side.add(record.id, record.verdicts.get(side.name))
    return found
