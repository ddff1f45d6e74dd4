"""What the database keeps as text, and what it becomes again; nothing is taken for more than it is.

Whatever is not of its type, or does not fit the rest of the run, is a ValueError.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import attrs

from mutatenn.api.baseline import Baseline
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.verdict import Verdict
from mutatenn.results.observations import AGAIN, observation_fields, read_fields
from mutatenn.results.wanted import Stop, Thresholds
from mutatenn.typed import build, conforms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.executor import Observation

Place = tuple[str, int, str] | tuple[str, int, str, tuple[str, ...]]
"""A site as a list; that of an older run has no layers."""
Packed = tuple[str, str, str, str, str, tuple[Place, ...], dict[str, Any], tuple[Any, ...]]
"""A mutant as a list: its fields, the sites and parts again as lists."""
Kind = Literal["probabilities", "logits"]
FACTS: dict[str, Any] = {
    "schema_version": int,
    "identity": str,
    "name": str,
    "environments": tuple[str, ...],
    "shards": int,
    "shard_images": int,
    "stop": Stop | None,
    "thresholds": Thresholds | None,
    "failures": dict[str, str] | None,
    "times": dict[str, dict[str, Any]] | None,
    "facts": {
        "versions": dict[str, str],
        "host": dict[str, Any],
        "model": dict[str, str],
        "oracles": {"kill": str, "all": tuple[str, ...]},
        "environments": dict[str, dict[str, Any]],
    },
}
"""The types of the facts about a run; any other is text."""
MEASURED = {"mean", "worst"}
ENVIRONMENT = {
    "kernels": int,
    "calls": int,
    "offline": bool,
    "passes": tuple[str, ...],
    "layers": tuple[str, ...],
    "factors": dict[str, str],
}


def read_fact(key: str, record: str) -> Any:
    """Return a fact about a run."""
    value = json.loads(record)
    sound = conforms(value, FACTS.get(key, str))
    if key == "facts":
        sound = sound and all(conforms(each, ENVIRONMENT) for each in value.get("environments", {}).values())
        sound = sound and conforms(value.get("operators", {}), dict[str, str])
        sound = sound and conforms(value.get("campaign", ""), str)
    if not sound:
        raise ValueError(f"its {key} is {record[:80]}")
    return value


def check_facts(facts: dict[str, Any], images: int) -> None:
    """Check that the facts about a run of so many images fit together."""
    size, shards = facts["shard_images"], facts["shards"]
    if size is not None and not (size > 0 and shards == max(1, -(-images // size))):
        raise ValueError(f"{shards} shards of {size} for {images} images")
    for name in facts["environments"] or ():
        check_name(name)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a folder of ours."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"a name is {name[:80]!r}")


def mutant_rows(mutants: Iterable[Mutant]) -> Iterator[tuple[Any, ...]]:
    """Return database rows of mutants, numbered."""
    for position, mutant in enumerate(mutants):
        *plain, sites, options, parts = attrs.astuple(mutant)
        yield position, *plain, json.dumps(sites), json.dumps(options), json.dumps(parts)


def read_mutant(row: Sequence[str]) -> Mutant:
    """Return the mutant of a row, without its number."""
    *plain, sites, options, parts = row
    return _unpacked([*plain, json.loads(sites), json.loads(options), json.loads(parts)])


def _unpacked(fields: Any) -> Mutant:
    if not conforms(fields, Packed):
        raise ValueError(f"a mutant is {repr(fields)[:80]}")
    name, operator, category, level, stage, sites, options, parts = fields
    check_name(name)
    places, faults = tuple(map(_site, sites)), tuple(_unpacked(part) for part in parts)
    return Mutant(name, operator, category, level, stage, places, options, faults)


def _site(fields: Sequence[Any]) -> Site:
    unit, ordinal, detail, *layers = fields
    return Site(unit, ordinal, detail, *map(tuple, layers))


def text_of(value: Baseline | Verdict) -> str:
    """Return a baseline or a verdict as text."""
    return json.dumps(attrs.asdict(value))


def read_baseline(environment: str, record: str) -> Baseline:
    """Return how the original did in an environment."""
    baseline = build(Baseline, json.loads(record))
    if baseline.environment != environment or not conforms(baseline.kind, Kind):
        raise ValueError(f"the baseline of {environment} is that of {baseline.environment[:80]}")
    return baseline


def read_verdict(environment: str, mutant: str, status: str, record: str, images: frozenset[str]) -> Verdict:
    """Return the verdict on a mutant, from a run of these images."""
    verdict = build(Verdict, json.loads(record))
    if (verdict.environment, verdict.mutant, verdict.status) != (environment, mutant, status):
        raise ValueError(f"the verdict on {mutant} is another's")
    if not images.issuperset(verdict.killed_images):
        raise ValueError(f"the verdict on {mutant} names other images")
    if not all(each.keys() == MEASURED for each in verdict.oracles.values()):
        raise ValueError(f"the verdict on {mutant} lacks what an oracle measured")
    return verdict


def observation_record(seen: Observation, again: str | None = None) -> str:
    """Return all that was seen of a mutant but its name and outputs.

    ``again`` is the digest of the outputs that were seen with another content of memory.
    """
    fields = observation_fields(seen)
    del fields["mutant"]
    if seen.again:
        fields["again"]["outputs"] = again
    return json.dumps(fields)


def read_observation(
    mutant: str,
    text: str,
    digest: str | None,
    images: int,
    load: Callable[[str, str | None, int], NDArray[np.float32]],
) -> Observation:
    """Return what was seen of a mutant; a run has so many images.

    ``load`` gives the outputs of so many images with a digest, of what was seen ("") or again (``AGAIN``).
    """
    fields = json.loads(text)
    digests = {"": digest, AGAIN: fields["again"].pop("outputs") if "again" in fields else None}
    count = fields["images"]
    if not (conforms((count, digests[AGAIN]), tuple[int, str | None]) and count <= images):
        raise ValueError(f"what was seen of {mutant} is {text[:80]}")
    fields["mutant"] = mutant
    return read_fields(fields, count, None, lambda part, rows: load(part, digests[part], rows))
