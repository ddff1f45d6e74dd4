"""Plans a campaign: which mutants, at which sites, in which environments."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.mutant import COMBINED, Mutant, Site
from mutatenn.campaign.config.values import Sample, Together
from mutatenn.campaign.planning.choose_layers import chosen_layers
from mutatenn.campaign.promises import absence, plain_options, sites
from mutatenn.compiler.toolchain import GRAPH_UNIT
from mutatenn.errors import InputError
from mutatenn.host.options import create
from mutatenn.results.planned import PlannedOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mutatenn.api.mutator import Mutator
    from mutatenn.api.values import Layer, Stage
    from mutatenn.campaign.config.values import Mutation
    from mutatenn.compiler.toolchain import Toolchain

Place = tuple[str, int]
"""A site: its unit and its ordinal there."""
Choice = tuple["OperatorSites", list[Place]]
"""What becomes a mutant: an operator and the places at which it is applied."""

FAULTS = "faults"
"""The group of all that nobody would let pass: bugs and the paper's operators, without mere rounding."""
ATTEMPTS = 50
"""So many draws for each combination wanted; small models have few."""


def groups(cls: type[Mutator]) -> set[str]:
    """Return the names by which a campaign file selects this operator, its own included."""
    level = {"graph"} if cls.level == "graph" else {"kernel", "tir"}
    faults = {FAULTS} if {"bugs", "paper"} & {*cls.groups} and "rounding" not in cls.groups else set()
    return {cls.name, cls.category, "all", *level, *faults, *cls.groups}


@attrs.frozen(eq=False)
class OperatorSites:
    """An operator of an entry, with its options and stage, and what stands at each of its sites, by unit.

    ``absence`` says why there is none, where that is known; only sites in ``chosen`` layers count.
    """

    mutator: Mutator
    stage: Stage
    details: dict[str, Sequence[str]]
    toolchain: Toolchain
    absence: str = ""
    chosen: set[Layer] | None = None
    options: dict[str, Any] = attrs.field(init=False)

    @options.default
    def _options(self) -> dict[str, Any]:
        return plain_options(self.mutator)

    def count(self) -> int:
        """Return how many sites it has in the layers that were chosen."""
        return sum(map(len, self.details.values())) if self.chosen is None else len(self.places())

    def site(self, place: Place) -> Site:
        """Return the site at a place."""
        unit, ordinal = place
        detail = self.details[unit][ordinal]
        return Site(unit, ordinal, detail, tuple(each.name for each in self.layers(place)))

    def layers(self, place: Place) -> tuple[Layer, ...]:
        """Return the layers of the user's network that are computed at a place."""
        unit, ordinal = place
        return self.toolchain.layers(unit, self.details[unit][ordinal] if unit == GRAPH_UNIT else "")

    def places(self) -> list[Place]:
        """Return its sites in order, those in the layers that were chosen."""
        every = ((unit, ordinal) for unit, details in self.details.items() for ordinal in range(len(details)))
        chosen = self.chosen
        return [place for place in every if chosen is None or not chosen.isdisjoint(self.layers(place))]


@attrs.define
class Plan:
    """The mutants of one environment, in order, and what each operator found there.

    ``absences`` say why an operator found nothing, where that is known. ``reordered`` tells that a plugin has
    chosen the order in which they run.
    """

    mutants: list[Mutant] = attrs.field(factory=list)
    operators: list[PlannedOperator] = attrs.field(factory=list)
    absences: dict[str, str] = attrs.field(factory=dict)
    reordered: bool = False

    def recounted(self) -> Plan:
        """Return the plan with each operator's mutants counted anew, after some were dropped."""
        left = Counter(mutant.operator for mutant in self.mutants)
        entries = []
        for entry in self.operators:
            kept = min(entry.mutants, left[entry.operator])
            left[entry.operator] -= kept
            population = max(kept, entry.population - (entry.mutants - kept))
            entries.append(attrs.evolve(entry, mutants=kept, population=population))
        return attrs.evolve(self, operators=entries)


def plan(
    toolchain: Toolchain, mutations: Iterable[Mutation], mutators: Mapping[str, type[Mutator]], seed: int
) -> Plan:
    """Enumerate sites and choose mutants; a mutant that two entries ask for is planned once.

    Raises InputError for a site ordinal that does not exist, or options an operator does not take.
    """
    result = Plan()
    seen: set[str] = set()
    for mutation in mutations:
        found = _found(toolchain, mutation, mutators)
        fresh: list[Mutant] = []
        for choice in (
            _combined(mutation, found, seed) if mutation.order > 1 else _single(mutation, found, seed)
        ):
            fresh += _mutants(toolchain.model.digest, choice, seen)
        result.mutants += fresh
        result.absences |= {each.mutator.name: each.absence for each in found if each.absence}
        result.operators += _summary(found, fresh, sampled=isinstance(mutation.sites, Sample))
    return result


def _mutants(model: str, choices: Sequence[Choice], seen: set[str]) -> Iterator[Mutant]:
    """Yield the mutants of choices, then their combination if there are several, that are not planned yet."""
    parts = []
    for each, places in choices:
        name = _name(model, each, places)
        if len(choices) > 1 or name not in seen:
            parts.append(_mutant(name, each, places))
    for mutant in [*parts, *([_combination(parts)] if len(choices) > 1 else [])]:
        if mutant.id not in seen:
            seen.add(mutant.id)
            yield mutant


def _combination(parts: Sequence[Mutant]) -> Mutant:
    """Return the higher-order mutant of several faults."""
    identity = hashlib.blake2b(" ".join(part.id for part in parts).encode(), digest_size=8).hexdigest()
    graph = [part for part in parts if part.level == "graph"]
    return Mutant(
        f"{COMBINED}.{len(parts)}-faults.{identity}",
        COMBINED,
        "OTHER",
        (graph or parts)[0].level,
        (graph or parts)[0].stage,
        tuple(site for part in parts for site in part.sites),
        parts=tuple(parts),
    )


def _found(
    toolchain: Toolchain, mutation: Mutation, mutators: Mapping[str, type[Mutator]]
) -> list[OperatorSites]:
    """Return every operator of an entry with all its sites, most of them not yet described."""
    found = []
    chosen = chosen_layers(mutation.layers, toolchain.model_layers) if mutation.layers else None
    for cls in mutators.values():
        if mutation.operator in groups(cls):
            mutator = create(cls, mutation.options)
            stage: Stage = mutator.stage if mutator.level == "graph" else mutation.stage or mutator.stage
            names: Iterable[str] = (GRAPH_UNIT,) if stage == "graph" else toolchain.units
            units = {name: toolchain.unit(name, stage) for name in names}
            details = sites(mutator, units)
            why = "" if any(map(len, details.values())) else absence(mutator, list(units.values()))
            found.append(OperatorSites(mutator, stage, details, toolchain, why, chosen))
    return found


def _single(mutation: Mutation, found: Sequence[OperatorSites], seed: int) -> Iterator[list[Choice]]:
    return ([choice] for choice in _chosen(mutation, found, seed))


def _combined(mutation: Mutation, found: Sequence[OperatorSites], seed: int) -> Iterator[list[Choice]]:
    """Yield faults to combine: of different kernels, at most one of them in the graph.

    Two faults in one unit could not be told from other faults there: the first moves the second's site.
    """
    sites = mutation.sites
    if not isinstance(sites, Sample):
        raise InputError("faults are combined at random; set sites = { sample = N }")
    every: list[Choice] = [(each, [place]) for each in found for place in each.places()]
    chance = random.Random(seed if sites.seed is None else sites.seed)  # noqa: S311  # no secret
    drawn: set[tuple[int, ...]] = set()
    for _ in range(ATTEMPTS * sites.sample if len(every) >= mutation.order else 0):
        numbers = tuple(sorted(chance.sample(range(len(every)), mutation.order)))
        units = {every[number][1][0][0] for number in numbers}
        if len(units) == mutation.order and numbers not in drawn:
            drawn.add(numbers)
            yield [every[number] for number in numbers]
        if len(drawn) == sites.sample:
            return


def _chosen(mutation: Mutation, found: Sequence[OperatorSites], seed: int) -> list[Choice]:
    """Return the operator and the places of every mutant, as the entry's ``sites`` asks."""
    sites = mutation.sites
    if sites == "together":
        return [(each, places) for each in found if (places := each.places())]
    if isinstance(sites, Together):
        return [(each, places) for each in found if (places := _at(mutation, each, sites.together))]
    if isinstance(sites, tuple):
        return [(each, [place]) for each in found for place in _at(mutation, each, sites)]
    every: list[Choice] = [(each, [place]) for each in found for place in each.places()]
    if not isinstance(sites, Sample):
        return every
    seed = seed if sites.seed is None else sites.seed
    if sites.stratified and sites.sample < len(every):
        chance = random.Random(seed)  # noqa: S311  # no secret
        return [every[n] for n in _spread(len(every), sites.sample, chance)]
    of_one = len({each.mutator.name for each, _ in every}) == 1
    drawn = sorted(range(len(every)), key=lambda n: _lot(every[n], seed, named=not of_one))[: sites.sample]
    return [every[n] for n in sorted(drawn)]


def _lot(choice: Choice, seed: int, *, named: bool) -> bytes:
    """Return the lot of a site, of which the lowest are drawn.

    It depends on nothing but the site, so environments that share sites draw the same of them, and so do
    entries of one operator each. Where an entry has several, the lots of a site are its operators' own.
    """
    found, [(unit, ordinal)] = choice
    identity = f"{seed} {found.mutator.name if named else ''} {unit} {ordinal}"
    return hashlib.blake2b(identity.encode(), digest_size=8).digest()


def _spread(population: int, sample: int, chance: random.Random) -> list[int]:
    """Return a systematic sample: one of every so many, in an order by operators and layers."""
    step = Fraction(population, sample)
    start = Fraction(chance.randrange(2**32), 2**32) * step
    return [int(start + number * step) for number in range(sample)]


def _at(mutation: Mutation, found: OperatorSites, wanted: Sequence[int]) -> list[Place]:
    """Return the sites with these ordinals, counted over the whole model."""
    places = found.places()
    beyond = [ordinal for ordinal in wanted if ordinal >= len(places)]
    if places and beyond and mutation.operator == found.mutator.name:
        raise InputError(
            f"{found.mutator.name} has no site {beyond[0]}: this model has {len(places)}, "
            f"0 to {len(places) - 1}"
        )
    return [places[ordinal] for ordinal in wanted if ordinal < len(places)]


def _name(model: str, found: OperatorSites, places: list[Place]) -> str:
    """Return a mutant's id."""
    mutator = found.mutator
    sites = [f"{unit}:{ordinal}" for unit, ordinal in places]
    identity = repr((model, mutator.name, mutator.version, sorted(found.options.items()), found.stage, sites))
    short = hashlib.blake2b(identity.encode(), digest_size=4).hexdigest()
    where = "{}.{}".format(*places[0]) if len(places) == 1 else f"{len(places)}-sites"
    return f"{mutator.name}.{where}.{short}"


def _mutant(name: str, found: OperatorSites, places: list[Place]) -> Mutant:
    mutator = found.mutator
    sites = tuple(map(found.site, places))
    return Mutant(name, mutator.name, mutator.category, mutator.level, found.stage, sites, found.options)


def _summary(
    found: Sequence[OperatorSites], mutants: Sequence[Mutant], *, sampled: bool
) -> list[PlannedOperator]:
    counts = Counter(mutant.operator for mutant in mutants)
    rows = []
    for each in found:
        cls, sites = type(each.mutator), each.count()
        planned = counts[cls.name]
        population = max(sites, planned) if sampled else planned
        rows.append(PlannedOperator(cls.name, cls.category, cls.level, sites, planned, population))
    combined = [mutant for mutant in mutants if mutant.parts]
    if combined:
        rows.append(PlannedOperator(COMBINED, "OTHER", combined[0].level, 0, len(combined), len(combined)))
    return rows
