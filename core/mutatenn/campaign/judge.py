"""Turns what the machinery observed into a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.campaign.promises import identity, measured, noticed
from mutatenn.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.comparator import Comparator
    from mutatenn.api.executor import Observation

Status = Literal[
    "killed",
    "survived",
    "never-infected",
    "crashed",
    "timed-out",
    "out-of-bounds",
    "unstable",
    "equivalent",
    "build-error",
    "infrastructure-error",
]
STATUSES: tuple[Status, ...] = (
    "killed",
    "survived",
    "never-infected",
    "crashed",
    "timed-out",
    "out-of-bounds",
    "unstable",
    "equivalent",
    "build-error",
    "infrastructure-error",
)
RARE: tuple[Status, ...] = ("out-of-bounds", "unstable", "infrastructure-error")
"""Named in a score line only where there are any."""
DETECTED: tuple[Status, ...] = ("killed", "crashed", "timed-out")
VALID: tuple[Status, ...] = (*DETECTED, "survived", "never-infected")
NO_VERDICT: tuple[Status, ...] = ("build-error", "timed-out", "unstable", "infrastructure-error")
"""Say more of the operator, the limits or the machinery than of the images, where many mutants end so."""

# An output is degenerate, the "implicit crash" of the MutateNN paper, where a network answers the same for
# every image, when it gives a tenth of the original's labels or fewer, over ten images or more; or when, over
# two or more, no score differs between images by more than a millionth of the largest.
DEGENERATE_IMAGES = 10
DEGENERATE_SHARE = 0.1
DEGENERATE_SPREAD = 1e-6


@attrs.frozen
class Verdict:
    """What became of one mutant in one environment.

    ``by`` names what noticed it: the kill oracle, ``non-finite``, ``degenerate``. ``images`` counts the
    images it ran on; ``killed``, ``infected``, ``propagated`` (output differs in some bit),
    ``labels_changed`` and ``non_finite`` count images among them, ``killed_images`` names the first kind.
    ``masked`` counts the images, infected but not propagated, by the name of the kernel in which the
    infection died. ``oracles`` holds, per oracle, ``mean`` and ``worst`` over the images, None where not
    finite.
    ``program`` identifies what ran: mutants with equal ones are duplicates. ``memory`` says how it read
    memory that it must not; with another content there it ended alike, or it is unstable.
    """

    environment: str
    mutant: str
    status: Status
    by: tuple[str, ...] = ()
    images: int = 0
    killed: int = 0
    infected: int = 0
    propagated: int = 0
    masked: dict[str, int] = attrs.field(factory=dict)
    labels_changed: int = 0
    non_finite: int = 0
    degenerate: bool = False
    killed_images: tuple[str, ...] = ()
    oracles: dict[str, dict[str, float | None]] = attrs.field(factory=dict)
    message: str = ""
    signal: int | None = None
    seconds: float = 0.0
    program: str = ""
    memory: str = ""


@attrs.frozen(eq=False)
class Judge:
    """Judges the mutants of one environment against the original's outputs.

    ``kill`` decides; ``oracles`` (by name, the kill oracle among them) are measured and reported. The
    original's infinities, which its reference has as well, are taken for numbers beyond its others. Raises
    PluginError for an oracle that notices the original itself.
    """

    environment: str
    names: Sequence[str]
    original: Scores
    kill: str
    oracles: Mapping[str, Comparator]
    _numbers: Scores = attrs.field(init=False)
    _identity: dict[str, NDArray[np.float64]] = attrs.field(init=False, factory=dict)

    @_numbers.default
    def _without_infinities(self) -> Scores:
        return attrs.evolve(self.original, values=_bounded(self.original.values))

    def __attrs_post_init__(self) -> None:
        for name, oracle in self.oracles.items():
            self._identity[name] = own_measure(oracle, self._numbers)

    def judge(self, seen: Observation) -> Verdict:
        """Return the verdict on an observation over all images."""
        seconds = float(seen.seconds.get("total", 0.0))
        if seen.outcome != "ran":
            return Verdict(
                self.environment,
                seen.mutant,
                seen.outcome,  # type: ignore[arg-type]  # a duplicate has got what the first one showed
                message=seen.message,
                signal=seen.signal,
                seconds=seconds,
                program=seen.program,
            )
        if not seen.executed:
            return Verdict(
                self.environment, seen.mutant, "infrastructure-error", message="no proof that it ran"
            )
        verdict = self._behaviour(seen, seconds)
        if seen.again is None:
            return verdict
        other = self._behaviour(seen.again, seconds).status
        if other == verdict.status:
            return verdict
        how = f"{verdict.status} with one content of memory that it must not read, {other} with another"
        return attrs.evolve(verdict, status="unstable", message=f"{how} ({seen.memory})")

    def _behaviour(self, seen: Observation, seconds: float) -> Verdict:
        values = seen.patched(self.original.values)
        infinite = np.isinf(self.original.values) & (values == self.original.values)
        values = np.where(infinite, self._numbers.values, values)
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
        measures = self._measure(values, seen.rows)
        killed = noticed(self.oracles[self.kill], measures[self.kill])
        degenerate = self._degenerate(values, finite)
        changed = (Scores(values).labels() != self._numbers.labels()) | ~finite
        by = [self.kill] if (killed & finite).any() else []
        by += ["non-finite"] if not finite.all() else []
        by += ["degenerate"] if degenerate else []
        killed |= ~finite
        return Verdict(
            self.environment,
            seen.mutant,
            "killed" if by else "survived" if seen.infected.any() else "never-infected",
            by=tuple(by),
            images=len(values),
            killed=int(killed.sum()),
            infected=int(seen.infected.sum()),
            propagated=len(seen.rows),
            masked=dict(seen.masked),
            labels_changed=int(changed.sum()),
            non_finite=int((~finite).sum()),
            degenerate=degenerate,
            killed_images=tuple(self.names[index] for index in np.flatnonzero(killed).tolist()),
            oracles={name: _summary(self.oracles[name], measure) for name, measure in measures.items()},
            seconds=seconds,
            program=seen.program,
            memory=seen.memory,
        )

    def _measure(self, values: NDArray[Any], rows: NDArray[np.intp]) -> dict[str, NDArray[np.float64]]:
        """Measure the changed rows; an unchanged one measures as the original against itself."""
        kind = self.original.kind
        original, candidate = Scores(self._numbers.values[rows], kind), Scores(values[rows], kind)
        result = {}
        for name, oracle in self.oracles.items():
            result[name] = self._identity[name].copy()
            result[name][rows] = measured(oracle, original, candidate)
        return result

    def _degenerate(self, values: NDArray[Any], finite: NDArray[np.bool_]) -> bool:
        if not finite.all():
            return False
        if _alike(values) and not _alike(self._numbers.values):
            return True
        if len(values) < DEGENERATE_IMAGES:
            return False
        before = len(np.unique(self._numbers.labels()))
        after = len(np.unique(Scores(values).labels()))
        return after < before and after <= max(1, DEGENERATE_SHARE * before)


def own_measure(oracle: Comparator, original: Scores) -> NDArray[np.float64]:
    """Return what an oracle measures of outputs and themselves, float64 ``[images]``.

    Raises PluginError if that is none, or if the oracle notices a difference: it would kill every mutant.
    """
    found = identity(oracle, original)
    seen = noticed(oracle, found) | ~np.isfinite(found)
    if seen.any():
        raise PluginError(
            f"oracle {oracle.name!r} notices the original itself: compared with its own outputs it measures "
            f"{found[seen][0]:g} on {int(seen.sum())} of {len(found)} images, threshold "
            f"{oracle.threshold:g}; set another threshold or choose another oracle"
        )
    return found


def _bounded(values: NDArray[Any]) -> NDArray[Any]:
    """Return outputs whose infinities are numbers, as far beyond the image's others as these are apart."""
    if not np.isinf(values).any():
        return values
    finite = np.isfinite(values)
    low, high = (
        reduce(values, axis=1, keepdims=True, where=finite, initial=initial)
        for reduce, initial in ((np.min, np.inf), (np.max, -np.inf))
    )
    low, high = (np.where(np.isfinite(each), each, 0.0) for each in (low, high))
    margin = high - low + 1
    bounds = np.where(np.isposinf(values), high + margin, low - margin).astype(values.dtype)
    return np.where(np.isinf(values), bounds, values)


def _alike(values: NDArray[Any]) -> bool:
    """Tell whether the outputs are the same for all images, of two or more."""
    spread = float(np.ptp(values, axis=0).max(initial=0.0))
    return len(values) > 1 and spread <= DEGENERATE_SPREAD * float(np.abs(values).max(initial=0.0))


def _summary(oracle: Comparator, measure: NDArray[np.float64]) -> dict[str, float | None]:
    if not len(measure):
        return {"mean": None, "worst": None}
    worst = measure.max() if oracle.worse == "higher" else measure.min()
    return {"mean": _number(measure.mean()), "worst": _number(worst)}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


@attrs.frozen
class Score:
    """How many mutants ended how; every mutant is counted once."""

    counts: dict[Status, int]

    @classmethod
    def of(cls, statuses: Sequence[Status]) -> Score:
        """Count statuses."""
        return cls({status: statuses.count(status) for status in STATUSES})

    @classmethod
    def total(cls, counts: Iterable[Mapping[Status, int]]) -> Score:
        """Return the score of all these numbers of mutants, by status."""
        every = list(counts)
        return cls({status: sum(each.get(status, 0) for each in every) for status in STATUSES})

    @property
    def judged(self) -> int:
        """Mutants that have ended, in whatever way."""
        return sum(self.counts.values())

    @property
    def without_verdict(self) -> dict[Status, int]:
        """How many of them ended without a verdict on the images, by status, the most frequent first."""
        found = {status: self.counts[status] for status in NO_VERDICT if self.counts[status]}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def verdict_share(self) -> float:
        """The share of them that have a verdict on the images, NaN where none has ended."""
        told = self.judged - sum(self.without_verdict.values())
        return told / self.judged if self.judged else float("nan")

    @property
    def detected(self) -> int:
        """Mutants that were noticed: killed, crashed, or timed out."""
        return sum(self.counts[status] for status in DETECTED)

    @property
    def valid(self) -> int:
        """Mutants that ran to an end that counts: those noticed, survivors, and those never infected."""
        return sum(self.counts[status] for status in VALID)

    @property
    def value(self) -> float:
        """The mutation score: detected / valid, NaN when nothing was valid."""
        return self.detected / self.valid if self.valid else float("nan")

    def line(self) -> str:
        """Return the score and all counts as name value pairs on one line."""
        pairs = [f"{status} {count}" for status, count in self.counts.items() if count or status not in RARE]
        return " ".join([f"score {self.value:.2f}", *pairs])
