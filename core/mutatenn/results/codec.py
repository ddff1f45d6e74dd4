"""What the database keeps as text, and what it becomes again; nothing is taken for more than it is.

Whatever is not of its type, or does not fit the rest of the run, is a ValueError.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

from mutatenn.api.baseline import Baseline
from mutatenn.api.executor import Observation
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.verdict import Verdict
from mutatenn.results.wanted import Stop, Thresholds
from mutatenn.typed import build, conforms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

Packed = tuple[str, str, str, str, str, tuple[tuple[str, int, str], ...], dict[str, Any], tuple[Any, ...]]
"""A mutant as a list: its fields, the sites (unit, ordinal, detail) and parts again as lists."""
Seen = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Of an observation: the number of images, those infected, those whose output changed."""
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
ENVIRONMENT = {"kernels": int, "calls": int, "offline": bool, "passes": tuple[str, ...]}


def read_fact(key: str, record: str) -> Any:
    """Return a fact about a run."""
    value = json.loads(record)
    sound = conforms(value, FACTS.get(key, str))
    if key == "facts":
        sound = sound and all(conforms(each, ENVIRONMENT) for each in value.get("environments", {}).values())
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
        *plain, sites, options, parts = _packed(mutant)
        yield position, *plain, json.dumps(sites), json.dumps(options), json.dumps(parts)


def _packed(m: Mutant) -> tuple[Any, ...]:
    sites = [(site.unit, site.ordinal, site.detail) for site in m.sites]
    parts = [_packed(part) for part in m.parts]
    return m.id, m.operator, m.category, m.level, m.stage, sites, m.options, parts


def read_mutant(row: Sequence[str]) -> Mutant:
    """Return the mutant of a row, without its number."""
    *plain, sites, options, parts = row
    return _unpacked([*plain, json.loads(sites), json.loads(options), json.loads(parts)])


def _unpacked(fields: Any) -> Mutant:
    if not conforms(fields, Packed):
        raise ValueError(f"a mutant is {repr(fields)[:80]}")
    name, operator, category, level, stage, sites, options, parts = fields
    check_name(name)
    places, faults = tuple(Site(*site) for site in sites), tuple(_unpacked(part) for part in parts)
    return Mutant(name, operator, category, level, stage, places, options, faults)


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
    apart = attrs.filters.exclude("outputs", "mutant", "infected", "rows", "again")
    record = attrs.asdict(seen, filter=apart)
    record |= _images(seen)
    if seen.again:
        record["again"] = {**_images(seen.again), "outputs": again}
    return json.dumps(record)


def _images(seen: Observation) -> dict[str, Any]:
    infected = np.flatnonzero(seen.infected).tolist()
    return {"images": len(seen.infected), "infected": infected, "rows": seen.rows.tolist()}


def read_observation(mutant: str, record: str, images: int) -> tuple[Observation, str | None]:
    """Return what was seen of a mutant, without outputs, and the digest of those seen again.

    A run has so many images.
    """
    fields = json.loads(record)
    again, digest = fields.pop("again", None), None
    if again is not None:
        digest = again.pop("outputs")
        again = Observation(mutant, "ran", **_arrays(mutant, again, images))
    if not conforms(digest, str | None):
        raise ValueError(f"what was seen of {mutant} is {record[:80]}")
    arrays = _arrays(mutant, fields, images)
    return build(Observation, fields, mutant=mutant, again=again, **arrays), digest


def _arrays(mutant: str, fields: dict[str, Any], images: int) -> dict[str, Any]:
    """Take the arrays from among the fields of an observation."""
    count, marked, rows = (fields.pop(key) for key in ("images", "infected", "rows"))
    if not (conforms((count, marked, rows), Seen) and 0 <= count <= images):
        raise ValueError(f"what was seen of {mutant} is {repr((count, marked, rows))[:80]}")
    infected, changed = np.zeros(count, bool), np.zeros(count, bool)
    infected[_places(marked, count)] = True
    changed[_places(rows, count)] = True
    return {"infected": infected, "rows": np.flatnonzero(changed)}


def _places(images: Sequence[int], count: int) -> NDArray[np.intp]:
    places = np.asarray(images, np.intp)
    if len(places) and not (places[0] >= 0 and (np.diff(places) > 0).all() and places[-1] < count):
        raise ValueError(f"{repr(images)[:80]} are to be different ones of {count} images")
    return places
