"""What the page tells of one mutant when it is looked at: its code, what died where, what the oracles say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import Status, one_line
from mutatenn_reporters._changes import readable
from mutatenn_reporters._endings import clause
from mutatenn_reporters._html.data import short
from mutatenn_reporters._html.packed import packed_json
from mutatenn_reporters._text import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn import Mutant, Record, Run, Verdict
    from mutatenn_reporters._html.data import Side

CHUNK = 200
"""Mutants that are unpacked together."""
EVERY = 5000
"""Of so many mutants, all have their code in the page; of more, the survivors that came closest."""
LONGEST_DIFF = 20_000


def chunks(run: Run, sides: Sequence[Side], images: dict[str, int]) -> Iterator[str]:
    """Yield the details, packed, of so many mutants each, in the plan's order."""
    close = {name for side in sides for name in side.closest}
    waiting: list[dict[str, Any]] = []
    few = sum(len(run.mutants_of(side.name)) for side in sides) <= EVERY
    for record in run.records():
        waiting.append(_details(run, record, sides, images, diff=few or record.id in close))
        if len(waiting) == CHUNK:
            yield packed_json(waiting)
            waiting = []
    if waiting:
        yield packed_json(waiting)


def _details(
    run: Run, record: Record, sides: Sequence[Side], images: dict[str, int], *, diff: bool
) -> dict[str, Any]:
    verdicts = {side.name: record.verdicts.get(side.name) for side in sides}
    found: dict[str, Any] = {
        "category": short(record.category),
        "level": record.level,
        "stage": record.stage,
        "sites": [
            [short(site.unit), site.ordinal, short(site.detail), [short(name) for name in site.layers]]
            for site in record.sites[:20]
        ],
        "ends": {name: _end(verdict) for name, verdict in verdicts.items() if verdict},
        "near": {
            side.name: [[images[name], round(lost, 4)] for name, lost in close.nearest.items()]
            for side in sides
            if (close := side.closest.get(record.id))
        },
    }
    if options := _options(record.mutant):
        found["options"] = options
    if record.mutant.parts:
        found["parts"] = [short(part.id) for part in record.mutant.parts]
    if diff:
        found["diffs"] = _diffs(run, record.id)
    return found


def _options(mutant: Mutant) -> dict[str, str]:
    return {short(name): short(repr(value)) for name, value in mutant.options.items()}


def _end(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {"clause": clause(verdict), "seconds": float(f"{verdict.seconds:.3g}")}
    if verdict.by:
        found["by"] = [short(name) for name in verdict.by]
    if verdict.masked:
        died = sorted(verdict.masked.items(), key=lambda item: -item[1])
        found["masked"] = [[short(kernel), number] for kernel, number in died[:10]]
    if verdict.memory:
        found["memory"] = shorten(verdict.memory)
    if verdict.message and verdict.status != Status.EQUIVALENT:
        found["message"] = one_line(verdict.message)[:1000]
    if verdict.oracles:
        found["oracles"] = {
            short(name): [_rounded(value) for value in summary.values()]
            for name, summary in verdict.oracles.items()
        }
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _diffs(run: Run, mutant: str) -> list[list[Any]]:
    """Return the different diffs of a mutant's code, each with the environments that have it."""
    found: dict[str, list[str]] = {}
    for environment, text in run.changes(mutant).items():
        found.setdefault(readable(text, LONGEST_DIFF), []).append(short(environment))
    return [[names, text] for text, names in found.items()]
