"""What a run came to, gathered per environment for presenting."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import CATEGORIES

if TYPE_CHECKING:
    from mutatenn.campaign.gate import Baseline
    from mutatenn.campaign.judge import Score, Verdict
    from mutatenn.campaign.run import Record, Run


@attrs.frozen
class Row:
    """One operator in one environment; ``sites`` is the most that any entry of the campaign found."""

    operator: str
    category: str
    sites: int
    mutants: int
    score: Score | None

    @property
    def waiting(self) -> int:
        """How many mutants have no verdict yet."""
        return self.mutants - (sum(self.score.counts.values()) if self.score else 0)


@attrs.frozen
class View:
    """One environment: ``rows`` by category, ``verdicts`` in the plan's order."""

    name: str
    facts: dict[str, Any]
    baseline: Baseline | None
    rows: tuple[Row, ...]
    score: Score
    verdicts: tuple[Verdict, ...]

    @property
    def mutants(self) -> int:
        """How many mutants are planned."""
        return sum(row.mutants for row in self.rows)

    @property
    def waiting(self) -> int:
        """How many mutants have no verdict yet."""
        return self.mutants - len(self.verdicts)

    @property
    def infected(self) -> int:
        """How many valid mutants changed some value: all but those never infected."""
        return self.score.valid - self.score.counts["never-infected"]


def views(run: Run, records: list[Record]) -> list[View]:
    """Gather every environment; ``records`` are the run's mutants."""
    return [_view(run, name, records) for name in run.environments]


def _view(run: Run, environment: str, records: list[Record]) -> View:
    trials = set(run.store.trials(environment))
    mutants = Counter(record.operator for record in records if record.id in trials)
    scores = run.scores(environment)
    found: dict[str, Row] = {}
    for entry in run.store.operators(environment):  # one per entry of the campaign that asks for the operator
        name = entry.operator
        sites = max(entry.sites, found[name].sites if name in found else 0)
        found[name] = Row(name, entry.category, sites, mutants[name], scores.get(name))
    order = [*CATEGORIES, *sorted({row.category for row in found.values()} - set(CATEGORIES))]
    return View(
        environment,
        run.facts.get("environments", {}).get(environment, {}),
        run.baselines.get(environment),
        tuple(sorted(found.values(), key=lambda row: order.index(row.category))),
        run.score(environment),
        tuple(record.verdicts[environment] for record in records if environment in record.verdicts),
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
