"""A comparison of environments as JSON, piece by piece: there may be more mutants than fit into memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import attrs

from mutatenn.files import whole
from mutatenn.json_values import jsonable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn.analysis.environments.compared import MutantComparison
    from mutatenn.analysis.environments.comparison import Comparison, Floor
    from mutatenn.analysis.environments.flips import Flip
    from mutatenn.analysis.environments.sides import ComparedEnvironment

Selection = Literal["all", "differing"]
SCHEMA = "mutatenn-devices/1"
END = "\n ]\n}\n"
FILES: dict[Selection, str] = {"all": "device_evaluation.json", "differing": "device_discrepancies.json"}


def comparison_document(comparison: Comparison, selection: Selection = "all") -> Iterator[str]:
    """Yield a comparison as JSON, piece by piece: with all mutants, or those that differ."""
    yield _opening(comparison, selection)
    number = 0
    for each in comparison.mutants():
        if each.differs or selection == "all":
            yield _entry(each, number)
            number += 1
    yield END


def save_comparison(comparison: Comparison, directory: Path) -> list[Path]:
    """Write both documents into a directory, reading the outputs once; return their paths.

    ``device_evaluation.json`` has all mutants, ``device_discrepancies.json`` those that differ. Raises
    OSError where a file cannot be written; each is either absent or whole.
    """
    paths = {selection: directory / name for selection, name in FILES.items()}
    with whole(paths["all"]) as every, whole(paths["differing"]) as differing:
        every.write(_opening(comparison, "all").encode("ascii"))
        differing.write(_opening(comparison, "differing").encode("ascii"))
        different = 0
        for number, each in enumerate(comparison.mutants()):
            every.write(_entry(each, number).encode("ascii"))
            if each.differs:
                differing.write(_entry(each, different).encode("ascii"))
                different += 1
        for file in (every, differing):
            file.write(END.encode("ascii"))
    return list(paths.values())


def _opening(comparison: Comparison, selection: Selection) -> str:
    """Return all that stands before the mutants, each of which follows by :func:`_entry`, and then END."""
    head = {
        "schema": SCHEMA,
        "selection": selection,
        "kill": comparison.kill,
        "oracles": [
            {"name": name, "worse": oracle.worse, "threshold": oracle.threshold}
            for name, oracle in comparison.oracles.items()
        ],
        "images": list(comparison.images),
        "environments": [_side(side) for side in comparison.sides],
        "noise_floors": [
            {**_floor(floor), "flips": [_flip(each) for each in flips.images]}
            for floor, flips in zip(comparison.floors, comparison.flips(), strict=True)
        ],
        "times": [attrs.asdict(each) for each in comparison.times()],
        "time_ratios": [attrs.asdict(each) for each in comparison.time_ratios()],
        "operators": _operators(comparison),
        "statuses": _statuses(comparison),
    }
    text = json.dumps(jsonable(head), indent=1, allow_nan=False)
    return text.removesuffix("\n}") + ',\n "mutants": ['


def _entry(compared: MutantComparison, number: int) -> str:
    """Return a mutant as a line, after so many others."""
    return f"{',' * bool(number)}\n  {json.dumps(jsonable(_mutant(compared)), allow_nan=False)}"


def _side(side: ComparedEnvironment) -> dict[str, Any]:
    facts = side.run.facts.get("environments", {}).get(side.environment, {})
    return {
        "name": side.name,
        "campaign": side.run.name,
        "environment": side.environment,
        **{key: str(facts.get(key, "")) for key in ("backend", "target", "profile")},
        "factors": side.factors,
        "mutants": len(side.planned),
        "seconds": side.baseline.seconds if side.baseline else None,
        "noise": side.baseline.noise if side.baseline else None,
        "accuracy": side.baseline.accuracy if side.baseline else None,
        "reference_accuracy": side.baseline.reference_accuracy if side.baseline else None,
    }


def _floor(floor: Floor) -> dict[str, Any]:
    return {
        "first": floor.first,
        "second": floor.second,
        "time_ratio": floor.ratio,
        "distance": attrs.asdict(floor.distance),
    }


def _flip(flip: Flip) -> dict[str, Any]:
    return {**attrs.asdict(flip), "kind": flip.kind}


def _operators(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "operator": operator,
            "environments": {
                name: {"detected": score.detected, "valid": score.valid, "counts": dict(score.counts)}
                for name, score in scores.items()
            },
        }
        for operator, scores in comparison.scores().items()
    ]


def _statuses(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "first": first,
            "second": second,
            "counts": [
                {"first": one, "second": other, "mutants": number}
                for (one, other), number in counts.most_common()
            ],
        }
        for (first, second), counts in comparison.ended().items()
    ]


def _mutant(compared: MutantComparison) -> dict[str, Any]:
    mutant = compared.mutant
    endings = {
        name: {
            "status": end.status,
            "by": end.verdict.by if end.verdict else [],
            "killed": end.verdict.killed if end.verdict else 0,
            "infected": end.verdict.infected if end.verdict else 0,
            "signal": end.verdict.signal if end.verdict else None,
            "seconds": end.verdict.seconds if end.verdict else None,
            "distance": attrs.asdict(end.distance) if end.distance else None,
        }
        for name, end in compared.endings.items()
    }
    return {
        **{key: getattr(mutant, key) for key in ("id", "operator", "category", "level", "stage")},
        "outcome": compared.outcome,
        "differs": compared.differs,
        "environments": endings,
        "pairs": [attrs.asdict(pair) for pair in compared.pairs],
    }
