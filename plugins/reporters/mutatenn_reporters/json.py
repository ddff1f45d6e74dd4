"""The JSON reporter: everything about a run in one file, for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn import Reporter, hookimpl, jsonable
from mutatenn_reporters._view import differences, views
from mutatenn_reporters._writing import writing, wrote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn import Delta, LayerScore, MutationScore, Record, Run
    from mutatenn_reporters._view import View

SCHEMA = "mutatenn-report/1"
FILE = "report.json"
ABSENT = {"campaign": "", "operators": {}}
"""What runs of earlier versions do not tell."""


@attrs.define(kw_only=True, eq=False)
class Json(Reporter):
    """Writes report.json: provenance, images, environments, scores and every verdict.

    The file conforms to ``report.schema.json`` beside this module, and is the same byte for byte whenever
    the same run is reported.
    """

    name: ClassVar[str] = "json"

    def report(self, run: Run, directory: Path) -> str:
        """Write ``report.json`` into the directory, creating it; return where it is.

        Raises InputError if it cannot be written.
        """
        head = json.dumps(jsonable(_head(run)), indent=1, allow_nan=False)
        with writing(directory / FILE) as file:
            file.writelines(piece.encode("ascii") for piece in _with_mutants(head, run))
        return wrote(directory / FILE)


def _head(run: Run) -> dict[str, Any]:
    """Return all but the mutants as dicts, lists and scalars, the numbers not all finite."""
    every = views(run)
    return {
        "schema": SCHEMA,
        "campaign": run.name,
        "failed_thresholds": [attrs.asdict(each) for each in run.failed_thresholds],
        "not_run": sum(each.waiting for each in every),
        "score": _score(run.score()) if len(every) == 1 else None,
        "provenance": {**ABSENT, **{key: told for key, told in run.facts.items() if key != "environments"}},
        "images": [attrs.asdict(image) for image in run.images],
        "environments": [_environment(run, each) for each in every],
        "noise_between_environments": [
            {"environments": [one, other], "max_abs": largest} for one, other, largest in differences(run)
        ],
    }


def _with_mutants(head: str, run: Run) -> Iterator[str]:
    """Yield the report piece by piece; a mutant is a line, and no longer in memory than that."""
    yield head.removesuffix("\n}") + ',\n "mutants": ['
    for number, record in enumerate(run.records()):
        mutant = json.dumps(jsonable(_mutant(record)), allow_nan=False)
        yield f"{',' * bool(number)}\n  {mutant}"
    yield "\n ]\n}\n"


def _environment(run: Run, each: View) -> dict[str, Any]:
    return {
        "name": each.name,
        "route": "",  # runs of earlier versions tell of none
        "layers": [],
        "factors": {},
        **each.facts,
        "noise_floor": each.baseline.noise if each.baseline else None,
        "baseline": attrs.asdict(each.baseline) if each.baseline else None,
        "failure": run.failures.get(each.name),
        "operators": [attrs.asdict(entry) for entry in run.operators(each.name)],
        "mutants": each.mutants,
        "not_run": each.waiting,
        "few_verdicts": list(run.few_verdicts(each.name)),
        "duplicates": len(run.duplicates(each.name)),
        "since": _since(run.since(each.name)),
        "score": _score(each.score),
        "layer_scores": [_layer(found) for found in run.layer_scores(each.name)],
    }


def _since(delta: Delta | None) -> dict[str, Any] | None:
    return attrs.asdict(delta) if delta else None


def _layer(found: LayerScore) -> dict[str, Any]:
    score = attrs.evolve(found.score, interval=found.interval)
    return {"layers": list(found.layers), "score": _score(score), "masked": found.masked}


def _score(score: MutationScore) -> dict[str, Any]:
    return {
        "value": score.value,
        "detected": score.detected,
        "valid": score.valid,
        "counts": dict(score.counts),
        "interval": attrs.asdict(score.interval) if score.interval else None,
    }


def _mutant(record: Record) -> dict[str, Any]:
    verdicts = {name: attrs.asdict(verdict, recurse=False) for name, verdict in record.verdicts.items()}
    remarks = {"skipped": record.skipped or None, "accepted": record.accepted or None}
    return {**attrs.asdict(record.mutant), **remarks, "verdicts": verdicts}


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``json``."""
    return [Json]
