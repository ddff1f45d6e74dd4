"""Mutants of one environment that deserve a look."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs

from mutatenn import Status, closest_survivors, duration
from mutatenn_reporters._endings import cause, clause
from mutatenn_reporters._text import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn import Run, Survivor
    from mutatenn_reporters._view import View

MOST = 5
ENDED: dict[Status, str] = {
    Status.CRASHED: "crashed",
    Status.TIMED_OUT: "timed out",
    Status.OUT_OF_BOUNDS: "left their buffers: our check noticed it, not the images, so in no score",
    Status.UNSTABLE: "unstable: they end otherwise when run again, so in no score",
    Status.BUILD_ERROR: "rejected by the compiler (build error)",
    Status.INFRASTRUCTURE_ERROR: "not judged because the machinery failed (infrastructure error); run again",
}


@attrs.frozen
class Group:
    """A title, (mutant, what about it) of at most five mutants, and how many more there are."""

    title: str
    mutants: tuple[tuple[str, str], ...]
    more: int = 0


def notable(run: Run, view: View) -> Iterator[Group]:
    """Yield the survivors closest to being killed, what ended otherwise than by running, the slow."""
    accepted = run.accepted
    survived = view.score.counts[Status.SURVIVED] - run.accepted_survivors(view.name)
    if survived:
        closest = closest_survivors(run, view.name)[:MOST]
        title = "survivors closest to being killed" if survived > MOST else "survivors"
        title = f"new {title}" if accepted else title
        yield Group(title, tuple((each.mutant, _survival(run, view, each)) for each in closest))
    for status, title in ENDED.items():
        if view.score.counts[status]:
            verdicts = run.verdicts(view.name, status)
            yield _group(title, ((verdict.mutant, cause(verdict)) for verdict in verdicts))
    yield from _masking(run, view)
    slow = run.slow(view.name)
    took = ((mutant, f"{duration(long)}, the original's {duration(usual)}") for mutant, long, usual in slow)
    group = _group("", took)
    if group.mutants:
        yield attrs.evolve(group, title="slow, by processor time: maybe no schedule rule fits these")


def _masking(run: Run, view: View) -> Iterator[Group]:
    """Yield the combined faults that fewer images notice than one of their parts alone."""
    pairs = (
        (mutant, f"noticed on {count(both, 'image')}, {part} alone on {alone}")
        for mutant, both, part, alone in run.masking(view.name)
    )
    group = _group("", pairs)
    if group.mutants:
        yield attrs.evolve(group, title="combined faults that mask each other")


def _group(title: str, mutants: Iterator[tuple[str, str]]) -> Group:
    shown = tuple(itertools.islice(mutants, MOST))
    return Group(title, shown, more=sum(1 for _ in mutants))


def _survival(run: Run, view: View, survivor: Survivor) -> str:
    verdict = run.verdict(view.name, survivor.mutant)
    assert verdict  # noqa: S101  # it is listed because of it
    took = f", took {survivor.lost:.0%} of a top-1 margin" if survivor.lost else ""
    return f"{clause(verdict)}{took}"
