"""Compares environments: how far their originals are apart, which mutants are noticed here but not there."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.analysis.environments.compared import (
    BEHAVIOUR,
    Ending,
    MutantComparison,
    Pair,
    notability,
    outcome,
    reason,
)
from mutatenn.analysis.environments.distance import Distance, Measures, measure
from mutatenn.analysis.environments.flips import Flips, flips
from mutatenn.analysis.environments.sides import ComparedEnvironment, EndStatus, MutantOutputs, open_sides
from mutatenn.analysis.environments.tables import all_tables
from mutatenn.analysis.environments.times import TimeRatio, TimeSummary, ratios, summary
from mutatenn.campaign.config.load import load_label_offset, load_oracles
from mutatenn.campaign.oracles import open_oracles
from mutatenn.errors import InputError
from mutatenn.host.plugin_host import PluginHost
from mutatenn.nearest import unknown_name
from mutatenn.results.run import CAMPAIGN_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mutatenn.analysis.table import Table
    from mutatenn.api.comparator import Comparator
    from mutatenn.api.mutant import Mutant
    from mutatenn.campaign.config.values import OracleSpec
    from mutatenn.results.run import Run
    from mutatenn.results.score import MutationScore


@attrs.frozen
class Floor:
    """The noise floor of two environments: the distance of the second's original from the first's.

    ``ratio`` is the second's time per image over the first's, None where one was not measured.
    """

    first: str
    second: str
    distance: Distance
    ratio: float | None


@attrs.frozen(eq=False)
class Comparison:
    """Environments of one run or several, on the same images.

    ``oracles`` are by name; ``kill`` is the one that judged the mutants. Distances are those of
    probabilities where some environments give logits and others do not.
    """

    sides: tuple[ComparedEnvironment, ...]
    oracles: Mapping[str, Comparator]
    kill: str
    _measured: dict[tuple[str, str], Measures] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        for one, other in itertools.combinations_with_replacement(self.sides, 2):
            if one.original is not None and other.original is not None:
                found = measure(one.original.scores, other.original.scores, self.oracles)
                self._measured[one.name, other.name] = found

    @property
    def images(self) -> tuple[str, ...]:
        """The images' names, in the order of every array."""
        return self.sides[0].run.image_names

    @property
    def mutated(self) -> tuple[ComparedEnvironment, ...]:
        """The environments that have mutants."""
        return tuple(side for side in self.sides if side.planned)

    @property
    def floors(self) -> tuple[Floor, ...]:
        """The noise floor of every pair of environments whose originals ran."""
        pairs = itertools.combinations(self.sides, 2)
        return tuple(self._floor(*pair) for pair in pairs if (pair[0].name, pair[1].name) in self._measured)

    def _floor(self, one: ComparedEnvironment, other: ComparedEnvironment) -> Floor:
        times = [side.baseline.seconds if side.baseline else 0.0 for side in (one, other)]
        ratio = times[1] / times[0] if all(times) else None
        return Floor(one.name, other.name, self._distance((one.name, other.name)), ratio)

    def flips(self) -> Iterator[Flips]:
        """Yield the images whose labels differ, for every pair of environments whose originals ran."""
        truth = self.truth
        for one, other in itertools.combinations(self.sides, 2):
            if one.original is not None and other.original is not None:
                scores = one.original.scores, other.original.scores
                yield flips((one.name, other.name), *scores, self.images, truth)

    @property
    def truth(self) -> tuple[int | None, ...]:
        """The true output of each image, None where it is not known."""
        run = self.sides[0].run
        try:
            offset = load_label_offset(run.directory / CAMPAIGN_FILE)
        except InputError:  # the file is gone
            return (None,) * len(self.images)
        return tuple(None if each.truth is None else each.truth + offset for each in run.images)

    def dissimilarity(self) -> NDArray[np.float64]:
        """Return the percentage of images whose top-1 label differs, float64 ``[sides, sides]``.

        NaN where an original has not run. (Louloudakis et al., DeltaNN, 2023, figure 1.)
        """
        names = [side.name for side in self.sides]
        found = np.full((len(names), len(names)), np.nan)
        for (one, other), measured in self._measured.items():
            share = 100 * float(measured.labels.mean()) if len(measured.labels) else 0.0
            row, column = names.index(one), names.index(other)
            found[row, column] = found[column, row] = share
        return found

    def times(self) -> list[TimeSummary]:
        """Return how long the originals take, of the environments that ``[time]`` has measured."""
        measured = ((side, side.times) for side in self.sides)
        return [summary(side.name, found, busy=side.busy) for side, found in measured if found is not None]

    def time_ratios(self) -> list[TimeRatio]:
        """Compare the times of every pair of environments that were measured."""
        runs = {side.name: id(side.run) for side in self.sides}
        times = {side.name: side.times for side in self.sides}
        measured = {name: found for name, found in times.items() if found is not None}
        return ratios(measured, lambda one, other: runs[one] == runs[other])

    def tables(self) -> tuple[list[Table], list[str]]:
        """Return tables of what differs, factor by factor; and in words what there cannot be.

        They have the tables and figures of Louloudakis et al., DeltaNN, 2023, of these environments.
        """
        return all_tables(self.sides, self.dissimilarity(), self.time_ratios())

    def _distance(self, names: tuple[str, str]) -> Distance:
        return self._measured[names].distance(self.oracles)

    def scores(self) -> dict[str, dict[str, MutationScore]]:
        """Count the verdicts per operator, in the plan's order, and environment that has mutants of it."""
        found: dict[str, dict[str, MutationScore]] = {}
        for side in self.mutated:
            for operator, score in side.run.scores(side.environment).items():
                found.setdefault(operator, {})[side.name] = score
        return found

    def ended(self) -> dict[tuple[str, str], Counter[tuple[EndStatus, EndStatus]]]:
        """Count the mutants by how they ended in the first and in the second of every pair."""
        found: dict[tuple[str, str], Counter[tuple[EndStatus, EndStatus]]] = {}
        ids = dict.fromkeys(name for side in self.mutated for name in side.planned)
        for one, other in itertools.combinations(self.mutated, 2):
            found[one.name, other.name] = Counter((one.ended(name), other.ended(name)) for name in ids)
        return found

    def planned(self) -> Iterator[Mutant]:
        """Yield every mutant of these environments once, in the order of the first plan that has it."""
        left = {name for side in self.mutated for name in side.planned}
        for run in {id(side.run): side.run for side in self.mutated}.values():
            for mutant in run.planned():
                if mutant.id in left:
                    left.remove(mutant.id)
                    yield mutant

    def mutants(self, *, outputs: bool = True) -> Iterator[MutantComparison]:
        """Compare every mutant, one at a time, in the order of the plan.

        Without ``outputs`` none are read: there are no distances. Raises InfrastructureError where stored
        outputs are gone or damaged.
        """
        for mutant in self.planned():
            yield self._compared(mutant, outputs=outputs)

    def diverging(self, most: int) -> list[MutantComparison]:
        """Return mutants that diverge, most notable first, without distances.

        Most notable is where the shares of the images that noticed it differ most between environments; a
        mutant that ended by itself counts as noticed on all, and one that a compiler rejected in no share.
        Those that changed other code come last.
        """
        found = (each for each in self.planned() if self.diverges(each.id))
        compared = (self._compared(each, outputs=False) for each in found)
        return heapq.nlargest(most, compared, key=notability)

    @functools.cached_property
    def divergences(self) -> Counter[str]:
        """The number of mutants that diverge, by operator."""
        return Counter(each.operator for each in self.planned() if self.diverges(each.id))

    def diverges(self, mutant: str) -> bool:
        """Tell whether a mutant behaved differently in two environments."""
        ends = {BEHAVIOUR[end] for side in self.mutated if (end := side.ended(mutant)) in BEHAVIOUR}
        return len(ends) > 1

    def frame(self) -> Any:
        """Return a pandas DataFrame of :meth:`mutants`, one row per mutant and pair of environments.

        Raises InputError where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise InputError("frames need pandas; install it: pip install 'mutatenn[frame]'") from None
        return pd.DataFrame([_row(each, pair) for each in self.mutants() for pair in each.pairs])

    def _compared(self, mutant: Mutant, *, outputs: bool) -> MutantComparison:
        name = mutant.id
        seen = {side.name: side.outputs(name) if outputs else None for side in self.mutated}
        endings = {side.name: self._ending(side, name, seen[side.name]) for side in self.mutated}
        changes = {side.name: side.change(name) for side in self.mutated}
        pairs = []
        for names in itertools.combinations(endings, 2):
            first, second = (changes[each] for each in names)
            same = first == second if first and second else None
            measured = self._apart(names, *(seen[each] for each in names))
            pairs.append(self._pair({each: endings[each] for each in names}, measured, same))
        differs = any(pair.outcome == "diverges" or self.kill in pair.beyond for pair in pairs)
        return MutantComparison(mutant, endings, tuple(pairs), differs)

    def _ending(self, side: ComparedEnvironment, mutant: str, seen: MutantOutputs | None) -> Ending:
        measured = self._apart((side.name, side.name), side.original, seen)
        distance = measured.distance(self.oracles) if measured else None
        return Ending(side.ended(mutant), side.verdict(mutant), distance)

    def _apart(
        self, names: tuple[str, str], first: MutantOutputs | None, second: MutantOutputs | None
    ) -> Measures | None:
        """Measure what is not as with the originals, and take the rest from them."""
        if first is None or second is None:
            return None
        rows = np.union1d(first.changed, second.changed)
        return self._measured[names].patched(rows, measure(first.rows(rows), second.rows(rows), self.oracles))

    def _pair(self, ends: Mapping[str, Ending], measured: Measures | None, same: bool | None) -> Pair:
        first, second = ends
        distance: Distance | None = None
        beyond: tuple[str, ...] = ()
        if measured is not None:
            floor = self._measured[first, second]
            distance, beyond = measured.distance(self.oracles), measured.beyond(floor, self.oracles)
        found = outcome([end.status for end in ends.values()])
        why = reason(found, ends, distance if beyond else None, same)
        return Pair(first, second, found, why, distance, beyond, same)


def _row(compared: MutantComparison, pair: Pair) -> dict[str, Any]:
    mutant = compared.mutant
    row: dict[str, Any] = {
        "mutant": mutant.id,
        **{key: getattr(mutant, key) for key in ("operator", "category", "level", "stage")},
        "first": pair.first,
        "second": pair.second,
        "first_status": compared.endings[pair.first].status,
        "second_status": compared.endings[pair.second].status,
        "outcome": pair.outcome,
        "reason": pair.reason,
        "beyond": ",".join(pair.beyond),
        "same_change": pair.same_change,
    }
    if pair.distance is not None:
        row |= {"labels": pair.distance.labels, "largest": pair.distance.largest}
        for oracle, spread in pair.distance.oracles.items():
            row |= {f"{oracle}.{key}": value for key, value in attrs.asdict(spread).items()}
    return row


def compare(
    runs: Sequence[Run],
    oracles: Mapping[str, Comparator] | None = None,
    *,
    environments: Sequence[str] = (),
    host: PluginHost | None = None,
) -> Comparison:
    """Compare environments of some runs, by the oracles of the first campaign, or by others.

    ``environments`` chooses some, by the names they have in their campaigns or in the comparison. Raises
    InputError for an unknown one, for fewer than two, if the runs are not of the same images, or if their
    mutants are not judged by the same oracle.
    """
    sides = _chosen(open_sides(runs), environments)
    for run in runs[1:]:
        _check_judges(runs[0], run)
    if oracles is None:
        oracles = configured_oracles(runs[0], host or PluginHost.installed())
    return Comparison(sides, oracles, runs[0].facts.get("oracles", {}).get("kill", ""))


def _chosen(sides: tuple[ComparedEnvironment, ...], names: Sequence[str]) -> tuple[ComparedEnvironment, ...]:
    """Return the sides of these names; all, where there are no names."""
    for name in names:
        if not any(name in (side.name, side.environment) for side in sides):
            raise InputError(unknown_name("environment", name, [side.name for side in sides]))
    chosen = tuple(s for s in sides if not names or s.name in names or s.environment in names)
    if len(chosen) < 2:  # noqa: PLR2004  # it takes two to disagree
        raise InputError(
            f"there is only environment {chosen[0].name!r}, nothing to compare it with; name another run, too"
        )
    return chosen


def _check_judges(one: Run, other: Run) -> None:
    """Refuse mutants that were judged by different oracles."""
    mutated = [run for run in (one, other) if any(map(run.mutants_of, run.environments))]
    if len(mutated) > 1 and _kill(one) != _kill(other):
        raise InputError(
            f"{one.directory} and {other.directory} are judged by different oracles; "
            "run both with the same [oracles] kill"
        )


def _kill(run: Run) -> OracleSpec:
    return load_oracles(run.directory / CAMPAIGN_FILE).kill


def configured_oracles(run: Run, host: PluginHost) -> dict[str, Comparator]:
    """Return the oracles of a run's campaign by name, the kill oracle first, with their options."""
    return open_oracles(load_oracles(run.directory / CAMPAIGN_FILE), host)
