"""Turns what the machinery observed into a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.campaign.promises import identity, measured, noticed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    "equivalent",
    "build-error",
    "infrastructure-error",
)
RARE: tuple[Status, ...] = ("out-of-bounds", "infrastructure-error")
"""Named in a score line only where there are any."""
DETECTED: tuple[Status, ...] = ("killed", "crashed", "timed-out", "out-of-bounds")
VALID: tuple[Status, ...] = (*DETECTED, "survived", "never-infected")

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
    ``program`` identifies what ran: mutants with equal ones are duplicates.
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


@attrs.frozen(eq=False)
class Judge:
    """Judges the mutants of one environment against the original's outputs.

    ``kill`` decides; ``oracles`` (by name, the kill oracle among them) are measured and reported.
    """

    environment: str
    names: Sequence[str]
    original: Scores
    kill: str
    oracles: Mapping[str, Comparator]
    _identity: dict[str, NDArray[np.float64]] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        for name, oracle in self.oracles.items():
            self._identity[name] = identity(oracle, self.original)

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
        return self._behaviour(seen, seconds)

    def _behaviour(self, seen: Observation, seconds: float) -> Verdict:
        values = seen.patched(self.original.values)
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
        measures = self._measure(values, seen.rows)
        killed = noticed(self.oracles[self.kill], measures[self.kill])
        degenerate = self._degenerate(values, finite)
        changed = (Scores(values).labels() != self.original.labels()) | ~finite
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
        )

    def _measure(self, values: NDArray[Any], rows: NDArray[np.intp]) -> dict[str, NDArray[np.float64]]:
        """Measure the changed rows; an unchanged one measures as the original against itself."""
        kind = self.original.kind
        original, candidate = Scores(self.original.values[rows], kind), Scores(values[rows], kind)
        result = {}
        for name, oracle in self.oracles.items():
            result[name] = self._identity[name].copy()
            result[name][rows] = measured(oracle, original, candidate)
        return result

    def _degenerate(self, values: NDArray[Any], finite: NDArray[np.bool_]) -> bool:
        if not finite.all():
            return False
        if _alike(values) and not _alike(self.original.values):
            return True
        if len(values) < DEGENERATE_IMAGES:
            return False
        before = len(np.unique(self.original.labels()))
        after = len(np.unique(Scores(values).labels()))
        return after < before and after <= max(1, DEGENERATE_SHARE * before)


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

    @property
    def detected(self) -> int:
        """Mutants that were noticed: killed, crashed, timed out, or caught out of bounds."""
        return sum(self.counts[status] for status in DETECTED)

    @property
    def valid(self) -> int:
        """Mutants that ran: all but equivalent ones, build errors and infrastructure errors."""
        return sum(self.counts[status] for status in VALID)

    @property
    def value(self) -> float:
        """The mutation score: detected / valid, NaN when nothing was valid."""
        return self.detected / self.valid if self.valid else float("nan")

    def line(self) -> str:
        """Return the score and all counts as name value pairs on one line."""
        pairs = [f"{status} {count}" for status, count in self.counts.items() if count or status not in RARE]
        return " ".join([f"score {self.value:.2f}", *pairs])
