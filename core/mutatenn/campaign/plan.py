"""Plans a campaign: which mutants, at which sites, in which environments."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.mutant import Mutant, Site
from mutatenn.campaign.config import Sample, Together
from mutatenn.campaign.options import create
from mutatenn.compiler.toolchain import GRAPH_UNIT
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mutatenn.api.mutator import Mutator
    from mutatenn.api.values import Stage
    from mutatenn.campaign.config import Mutation
    from mutatenn.compiler.toolchain import Toolchain

Planned = list[tuple["Mutator", "Stage", tuple[Site, ...]]]


def groups(cls: type[Mutator]) -> set[str]:
    """Return the names by which a campaign file selects this operator, its own included."""
    level = {"graph"} if cls.level == "graph" else {"kernel", "tir"}
    return {cls.name, cls.category, "all", *level, *cls.groups}


@attrs.frozen
class Operators:
    """What one entry of a plan came to: operator, sites found, mutants planned."""

    operator: str
    category: str
    level: str
    sites: int
    mutants: int


@attrs.define
class Plan:
    """The mutants of one environment, in order, and what each operator found there."""

    mutants: list[Mutant] = attrs.field(factory=list)
    operators: list[Operators] = attrs.field(factory=list)

    def recounted(self) -> Plan:
        """Return the plan with each operator's mutants counted anew, after some were dropped."""
        left = Counter(mutant.operator for mutant in self.mutants)
        entries = []
        for entry in self.operators:
            kept = min(entry.mutants, left[entry.operator])
            left[entry.operator] -= kept
            entries.append(attrs.evolve(entry, mutants=kept))
        return Plan(self.mutants, entries)


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
        chosen = _chosen(mutation, found, seed)
        mutants = [_mutant(toolchain.model.digest, *choice) for choice in chosen]
        fresh = [mutant for mutant in mutants if mutant.id not in seen]
        seen.update(mutant.id for mutant in fresh)
        result.mutants += fresh
        result.operators += _summary(found, fresh)
    return result


def _found(toolchain: Toolchain, mutation: Mutation, mutators: Mapping[str, type[Mutator]]) -> Planned:
    """Return every operator of an entry with its stage and all its sites."""
    found: Planned = []
    for cls in mutators.values():
        if mutation.operator in groups(cls):
            mutator = create(cls, mutation.options)
            stage: Stage = mutator.stage if mutator.level == "graph" else mutation.stage or mutator.stage
            found.append((mutator, stage, tuple(_sites(toolchain, mutator, stage))))
    return found


def _sites(toolchain: Toolchain, mutator: Mutator, stage: Stage) -> Iterable[Site]:
    units: Sequence[str] = (GRAPH_UNIT,) if stage == "graph" else tuple(toolchain.units)
    for unit in units:
        for ordinal, detail in enumerate(mutator.sites(toolchain.unit(unit, stage))):
            yield Site(unit, ordinal, detail)


def _chosen(mutation: Mutation, found: Planned, seed: int) -> Planned:
    """Return one (operator, stage, sites) per mutant, as the entry's ``sites`` asks."""
    sites = mutation.sites
    if sites == "together":
        return [entry for entry in found if entry[2]]
    each: Planned = [(mutator, stage, (site,)) for mutator, stage, all_sites in found for site in all_sites]
    if sites == "each":
        return each
    if isinstance(sites, Sample):
        chance = random.Random(seed if sites.seed is None else sites.seed)  # noqa: S311  # no secret
        picked = sorted(chance.sample(range(len(each)), min(sites.sample, len(each))))
        return [each[index] for index in picked]
    if isinstance(sites, Together):
        wanted = sites.together
        return [(m, stage, tuple(_at(mutation, m, here, wanted))) for m, stage, here in found if here]
    return [(m, s, (site,)) for m, s, here in found if here for site in _at(mutation, m, here, tuple(sites))]


def _at(mutation: Mutation, mutator: Mutator, sites: Sequence[Site], wanted: Sequence[int]) -> list[Site]:
    """Return the sites with these ordinals, counted over the whole model."""
    beyond = [ordinal for ordinal in wanted if ordinal >= len(sites)]
    if beyond and mutation.operator == mutator.name:
        raise InputError(
            f"{mutator.name} has no site {beyond[0]}: this model has {len(sites)}, 0 to {len(sites) - 1}"
        )
    return [sites[ordinal] for ordinal in wanted if ordinal < len(sites)]


def _mutant(model: str, mutator: Mutator, stage: Stage, sites: tuple[Site, ...]) -> Mutant:
    options: dict[str, Any] = attrs.asdict(mutator) if attrs.has(type(mutator)) else {}
    places = [f"{site.unit}:{site.ordinal}" for site in sites]
    identity = repr((model, mutator.name, mutator.version, sorted(options.items()), stage, places))
    short = hashlib.blake2b(identity.encode(), digest_size=4).hexdigest()
    where = f"{sites[0].unit}.{sites[0].ordinal}" if len(sites) == 1 else f"{len(sites)}-sites"
    name = f"{mutator.name}.{where}.{short}"
    return Mutant(name, mutator.name, mutator.category, mutator.level, stage, sites, options)


def _summary(found: Planned, mutants: list[Mutant]) -> list[Operators]:
    return [
        Operators(
            m.name, m.category, m.level, len(sites), sum(mutant.operator == m.name for mutant in mutants)
        )
        for m, _, sites in found
    ]
