"""What became of a mutant in several environments, and whether they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from mutatenn.api.verdict import Status
from mutatenn.printable import signal_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mutatenn.analysis.environments.distance import Distance
    from mutatenn.analysis.environments.sides import EndStatus
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.verdict import Verdict

Agreement = Literal["agrees", "diverges", "undecided"]

BEHAVIOUR: dict[EndStatus, str] = {each: each.behaviour for each in Status if each.behaviour}
"""What a user sees of a mutant that ended so; other ends say nothing of the mutant."""
OTHER_CHANGE = "; not the same change of the code"


@attrs.frozen
class Ending:
    """How a mutant ended in one environment; ``distance`` is from the original's outputs there to its own."""

    status: EndStatus
    verdict: Verdict | None = None
    distance: Distance | None = None


@attrs.frozen
class Pair:
    """A mutant in two environments.

    It ``diverges`` where it behaved differently (see :data:`BEHAVIOUR`), ``agrees`` where it behaved alike,
    and is ``undecided`` where one environment has no verdict that says something of the mutant. ``distance``
    is that of its outputs in the second environment from those in the first, None where one has none;
    ``beyond`` names the oracles by which that is beyond the noise floor, the distance of the originals (see
    :meth:`Measures.beyond`). ``same_change`` tells whether the same lines of code were changed in both, None
    where that is not recorded. ``reason`` is a short clause, empty where there is nothing to tell.
    """

    first: str
    second: str
    outcome: Agreement
    reason: str = ""
    distance: Distance | None = None
    beyond: tuple[str, ...] = ()
    same_change: bool | None = None


@attrs.frozen
class MutantComparison:
    """A mutant in all environments that have mutants, and in every pair of them.

    ``differs`` if it diverges in some pair, or is beyond the noise floor by the kill oracle.
    """

    mutant: Mutant
    endings: dict[str, Ending]
    pairs: tuple[Pair, ...]
    differs: bool

    @property
    def outcome(self) -> Agreement:
        """``diverges`` if it does in some pair, else ``agrees`` if it does in some pair."""
        found = {pair.outcome for pair in self.pairs}
        return "diverges" if "diverges" in found else "agrees" if "agrees" in found else "undecided"

    @property
    def other_change(self) -> bool:
        """Whether it diverges only between environments that had other lines of code changed."""
        changes = [pair.same_change for pair in self.pairs if pair.outcome == "diverges"]
        return bool(changes) and all(same is False for same in changes)

    @property
    def reason(self) -> str:
        """Why it differs, over all environments; empty where it does not, or nothing is known."""
        if self.outcome == "diverges":
            known = {name: end for name, end in self.endings.items() if end.status in BEHAVIOUR}
            return f"{_ends(known)}{OTHER_CHANGE * self.other_change}"
        apart = (pair for pair in self.pairs if pair.outcome == "agrees" and pair.reason)
        return "; ".join(f"between {pair.first} and {pair.second}: {pair.reason}" for pair in apart)


def outcome(ends: Sequence[EndStatus]) -> Agreement:
    """Return whether a mutant that ended so in two environments behaved alike."""
    behaviours = [BEHAVIOUR.get(end) for end in ends]
    if None in behaviours:
        return "undecided"
    return "agrees" if len(set(behaviours)) == 1 else "diverges"


def reason(found: Agreement, ends: Mapping[str, Ending], apart: Distance | None, same: bool | None) -> str:
    """Say in a clause why two environments disagree, or have nothing to compare; empty where they agree.

    ``apart`` is the distance of the outputs if it is beyond the noise floor.
    """
    if found == "undecided":
        told = _ends({name: end for name, end in ends.items() if end.status not in BEHAVIOUR})
    elif found == "diverges":
        told = _ends(ends)
    else:
        told = _apart(apart) if apart else ""
    return f"{told}{OTHER_CHANGE}" if told and same is False else told


def _apart(distance: Distance) -> str:
    if distance.labels:
        return f"labels differ on {distance.labels} of {distance.images} images"
    if distance.largest is None:
        return "outputs not finite, and not the same"
    return f"outputs differ by up to {distance.largest:.2g}"


def _ends(ends: Mapping[str, Ending]) -> str:
    """Return how a mutant ended where, environments in which it ended alike together."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, end in ends.items():
        alike.setdefault((end.status.replace("-", " "), _detail(end)), []).append(name)
    return ", ".join(f"{how} in {' and '.join(names)}{detail}" for (how, detail), names in alike.items())


def _detail(end: Ending) -> str:
    if end.verdict is None:
        return ""
    if end.status == Status.KILLED:
        images = f"{end.verdict.killed} of {end.verdict.images} images"
        return f" ({images if end.verdict.killed else ', '.join(end.verdict.by)})"
    return f" ({signal_name(end.verdict.signal)})" if end.verdict.signal else ""


def notability(compared: MutantComparison) -> tuple[bool, float]:
    """Return by what the mutants that diverge are ordered, the most notable having the largest."""
    ran = (end for end in compared.endings.values() if BEHAVIOUR.get(end.status, "rejected") != "rejected")
    shares = [_noticed(end) for end in ran]
    return not compared.other_change, max(shares, default=0.0) - min(shares, default=0.0)


def _noticed(end: Ending) -> float:
    """Return the share of the images that noticed a mutant; all, where something else did."""
    if BEHAVIOUR[end.status] == "unnoticed":
        return 0.0
    killed = end.verdict.killed / end.verdict.images if end.verdict and end.verdict.images else 0.0
    return killed or 1.0
