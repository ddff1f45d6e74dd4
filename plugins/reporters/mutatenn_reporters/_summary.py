"""A run on a page of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn import Status, borders, closest_survivors
from mutatenn_reporters._answer import answer
from mutatenn_reporters._changes import diff_of
from mutatenn_reporters._endings import clause
from mutatenn_reporters._markdown import block, code, plain
from mutatenn_reporters._text import changes, count, ratio, verdict_of_gate
from mutatenn_reporters._view import views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn import Run, Survivor
    from mutatenn_reporters._view import View

SURVIVORS = 10
"""Survivors that are shown, with their code."""
LONGEST_DIFF = 3000


def summary(run: Run) -> Iterator[str]:
    """Yield the page, block by block: what failed, the answer, the scores, operators, survivors, the gate."""
    yield f"# {plain(run.name)}: mutation report"
    if run.failed_thresholds:
        yield "\n".join(f"- **{plain(each)}**" for each in run.failed_thresholds)
    every = views(run)
    several = len(every) > 1
    for view in every:
        for operator, told in run.few_verdicts(view.name).items():
            yield f"> warning: {plain(operator)}: {plain(told)}"
        if told := answer(run, view):
            yield f"**{plain(view.name)}:** {plain(told)}" if several else f"**{plain(told)}**"
    yield _scores(run, every)
    for view in every:
        if view.judged:
            yield f"## {'Operators' if not several else f'Operators in {plain(view.name)}'}"
            yield _operators(view)
            yield from _survivors(run, view, several=several)
    yield "## Original"
    yield "\n".join(f"- {plain(view.name)}: {_gate(run, view)}" for view in every)


def _gate(run: Run, view: View) -> str:
    if view.baseline:
        return plain(verdict_of_gate(view.baseline))
    failed = run.failures.get(view.name)
    return f"failed: {plain(failed)}" if failed else "has not run yet"


def _scores(run: Run, every: list[View]) -> str:
    rows = [
        "| environment | score | interval | detected | valid | survived | never infected | in no score |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for view in every:
        score = view.score
        interval = score.interval if score.sampled else None
        between = f"{interval.low:.2f} to {interval.high:.2f}" if interval else ""
        counts = [score.counts[Status.SURVIVED], score.counts[Status.NEVER_INFECTED]]
        numbers = [score.detected, score.valid, *counts, score.judged - score.valid]
        rows.append(
            f"| {plain(view.name)} | {ratio(score.value)} | {between} | {' | '.join(map(str, numbers))} |"
        )
    deltas = {view.name: delta for view in every if (delta := run.since(view.name))}
    rows += [
        f"\nSince the earlier run, in {plain(name)}: {changes(delta)}." for name, delta in deltas.items()
    ]
    return "\n".join(rows)


def _operators(view: View) -> str:
    rows = [
        "| operator | mutants | detected | survived | never infected | in no score | score |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in view.rows:
        if row.score and row.score.judged:
            score, counts = row.score, row.score.counts
            numbers = [score.detected, counts[Status.SURVIVED], counts[Status.NEVER_INFECTED]]
            cells = [row.mutants, *numbers, score.judged - score.valid]
            told = " | ".join(map(str, cells))
            rows.append(f"| {code(row.operator, 100)} | {told} | {ratio(score.value)} |")
    return "\n".join(rows)


def _survivors(run: Run, view: View, *, several: bool) -> Iterator[str]:
    survived = view.score.counts[Status.SURVIVED] - run.accepted_survivors(view.name)
    if not survived:
        return
    found = closest_survivors(run, view.name)
    where = f" in {plain(view.name)}" if several else ""
    yield f"## {count(survived, 'survivor')}{where}, those closest to being noticed first"
    for each in found[:SURVIVORS]:
        yield _survivor(run, view.name, each)
    if survived > SURVIVORS:
        yield f"and {survived - SURVIVORS} more"
    if near := borders(run, view.name, found):
        first = near[0]
        yield (
            f"To notice more, add images of output {first.label} that are almost {first.other}: "
            f"{count(first.survivors, 'survivor')} came nearest there, such as on {code(first.images[0])}."
        )


def _survivor(run: Run, environment: str, survivor: Survivor) -> str:
    verdict = run.verdict(environment, survivor.mutant)
    told = clause(verdict) if verdict else ""
    took = f", took {survivor.lost:.0%} of a top-1 margin" if survivor.lost else ""
    head = f"{code(survivor.mutant, 200)}: {plain(told)}{took}"
    change = diff_of(run, survivor.mutant, environment)[:LONGEST_DIFF]
    if not change:
        return head
    return f"{head}\n\n<details><summary>code</summary>\n\n{block(change, 'diff')}\n\n</details>"
