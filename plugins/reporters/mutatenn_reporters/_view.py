"""What a run came to, gathered per environment for presenting."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import CATEGORIES, Status

if TYPE_CHECKING:
    from mutatenn import Baseline, MutationScore, Run


@attrs.frozen
class Row:
    """One operator in one environment; ``sites`` is the most that any entry of the campaign found."""

    operator: str
    category: str
    sites: int
    mutants: int
    score: MutationScore | None
    waiting: int
    """How many mutants have no verdict yet and are not skipped."""


@attrs.frozen
class View:
    """One environment; ``rows`` by category."""

    name: str
    facts: dict[str, Any]
    baseline: Baseline | None
    rows: tuple[Row, ...]
    score: MutationScore

    @property
    def mutants(self) -> int:
        """How many mutants are planned."""
        return sum(row.mutants for row in self.rows)

    @property
    def judged(self) -> int:
        """How many mutants have a verdict."""
        return sum(self.score.counts.values())

    @property
    def waiting(self) -> int:
        """How many mutants have no verdict yet and are not skipped."""
        return sum(row.waiting for row in self.rows)

    @property
    def infected(self) -> int:
        """How many valid mutants changed some value: all but those never infected."""
        return self.score.valid - self.score.counts[Status.NEVER_INFECTED]


def views(run: Run) -> list[View]:
    """Gather every environment."""
    return [_view(run, name) for name in run.environments]


def _view(run: Run, environment: str) -> View:
    scores, waiting = run.scores(environment), run.waiting(environment)
    found: dict[str, Row] = {}
    for entry in run.operators(environment):  # one per entry of the campaign that asks for the operator
        name = entry.operator
        before = found.get(name, Row(name, entry.category, 0, 0, scores.get(name), waiting.get(name, 0)))
        sites, mutants = max(entry.sites, before.sites), before.mutants + entry.mutants
        found[name] = attrs.evolve(before, sites=sites, mutants=mutants)
    order = [*CATEGORIES, *sorted({row.category for row in found.values()} - set(CATEGORIES))]
    return View(
        environment,
        run.facts.get("environments", {}).get(environment, {}),
        run.baselines.get(environment),
        tuple(sorted(found.values(), key=lambda row: order.index(row.category))),
        run.score(environment),
    )


def differences(run: Run) -> list[tuple[str, str, float | None]]:
    """Return the largest absolute difference between the originals' outputs of any two environments.

    None where an output is not finite. Environments whose original has not run are left out.
    """
    outputs = {name: run.outputs(name, None) for name in run.environments if name in run.baselines}
    pairs = itertools.combinations(outputs.items(), 2)
    return [(one, other, _largest(ours, theirs)) for (one, ours), (other, theirs) in pairs]


def _largest(ours: Any, theirs: Any) -> float | None:
    with np.errstate(invalid="ignore"):  # infinite minus infinite
        value = float(np.abs(ours.astype(np.float64) - theirs).max(initial=0.0))
    return value if np.isfinite(value) else None
