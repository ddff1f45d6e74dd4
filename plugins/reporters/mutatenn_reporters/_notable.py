"""Mutants of one environment that deserve a look."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import attrs

from mutatenn_reporters._text import count, number, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mutatenn.campaign.judge import Verdict
    from mutatenn_reporters._view import View

MOST = 5
ENDED = {
    "crashed": "crashed",
    "timed-out": "timed out",
    "build-error": "rejected by the compiler (build error)",
    "infrastructure-error": "not judged because the machinery failed (infrastructure error); run again",
}


@attrs.frozen
class Group:
    """A title, (mutant, what about it) of at most five mutants, and how many more there are."""

    title: str
    mutants: tuple[tuple[str, str], ...]
    more: int = 0


def notable(view: View) -> Iterator[Group]:
    """Yield the survivors closest to being killed, then what ended otherwise than by running."""
    survivors = [verdict for verdict in view.verdicts if verdict.status == "survived"]
    if survivors:
        closest = sorted(survivors, key=_closeness, reverse=True)[:MOST]
        title = "survivors closest to being killed" if len(survivors) > len(closest) else "survivors"
        yield Group(title, tuple((verdict.mutant, _survival(verdict)) for verdict in closest))
    for status, title in ENDED.items():
        ended = [verdict for verdict in view.verdicts if verdict.status == status]
        if ended:
            yield _group(title, [(verdict.mutant, _cause(verdict)) for verdict in ended])


def diverging(every: Sequence[View]) -> Iterator[Group]:
    """Yield the mutants that did not end alike in all environments that could judge them."""
    ends: dict[str, dict[str, str]] = {}
    for view in every:
        for verdict in view.verdicts:
            if verdict.status != "infrastructure-error":
                ends.setdefault(verdict.mutant, {})[view.name] = verdict.status.replace("-", " ")
    different = {mutant: ended for mutant, ended in ends.items() if len(set(ended.values())) > 1}
    if different:
        title = f"{count(len(different), 'mutant')} did not end alike in all environments"
        texts = (
            (mutant, ", ".join(f"{how} in {name}" for name, how in by.items()))
            for mutant, by in different.items()
        )
        yield _group(title, texts)


def _group(title: str, mutants: Iterable[tuple[str, str]]) -> Group:
    every = tuple(mutants)
    return Group(title, every[:MOST], len(every[MOST:]))


def _closeness(verdict: Verdict) -> tuple[float, ...]:
    return (verdict.labels_changed, _worst(verdict) or 0.0, verdict.propagated, verdict.infected)


def _worst(verdict: Verdict) -> float | None:
    return verdict.oracles.get("max-abs", {}).get("worst")


def _survival(verdict: Verdict) -> str:
    parts = [f"infected {verdict.infected} of {count(verdict.images, 'image')}"]
    worst = _worst(verdict)
    by = f" by up to {number(worst)}" if worst else ""
    parts.append(
        f"changed the output on {verdict.propagated}{by}" if verdict.propagated else "changed no output"
    )
    parts += [f"changed {count(verdict.labels_changed, 'label')}"] if verdict.labels_changed else []
    return ", ".join(parts)


def _cause(verdict: Verdict) -> str:
    if verdict.message or verdict.signal is None:
        return shorten(verdict.message or "no message")
    try:
        return signal.Signals(verdict.signal).name
    except ValueError:
        return f"signal {verdict.signal}"
