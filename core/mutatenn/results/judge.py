"""Turns what the machinery observed into a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.api.verdict import Status, Verdict
from mutatenn.json_values import finite
from mutatenn.results.oracles import measured, noticed, own_measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.comparator import Comparator
    from mutatenn.api.executor import Observation

# An output is degenerate, the "implicit crash" of the MutateNN paper, where a network answers the same for
# every image, when it gives a tenth of the original's labels or fewer, over ten images or more; or when, over
# two or more, no score differs between images by more than a millionth of the largest.
DEGENERATE_IMAGES = 10
DEGENERATE_SHARE = 0.1
DEGENERATE_SPREAD = 1e-6


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
        return bounded(self.original)

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
                Status(seen.outcome),  # a duplicate has got what the first one showed
                message=seen.message,
                signal=seen.signal,
                seconds=seconds,
                program=seen.program,
            )
        if not seen.executed:
            return Verdict(
                self.environment, seen.mutant, Status.INFRASTRUCTURE_ERROR, message="no proof that it ran"
            )
        verdict = self._behaviour(seen, seconds)
        if seen.again is None:
            return verdict
        other = self._behaviour(seen.again, seconds).status
        if other == verdict.status:
            return verdict
        how = f"{verdict.status} with one content of memory that it must not read, {other} with another"
        return attrs.evolve(verdict, status=Status.UNSTABLE, message=f"{how} ({seen.memory})")

    def _behaviour(self, seen: Observation, seconds: float) -> Verdict:
        values = seen.patched(self.original.values)
        if self._numbers.values is not self.original.values:
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
            _status(bool(by), bool(seen.infected.any())),
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


def _status(killed: bool, infected: bool) -> Status:  # read as a table
    if killed:
        return Status.KILLED
    return Status.SURVIVED if infected else Status.NEVER_INFECTED


def bounded(scores: Scores) -> Scores:
    """Return outputs whose infinities are numbers, as far beyond the image's others as these are apart."""
    values = scores.values
    if not np.isinf(values).any():
        return scores
    finite = np.isfinite(values)
    low, high = (
        reduce(values, axis=1, keepdims=True, where=finite, initial=initial)
        for reduce, initial in ((np.min, np.inf), (np.max, -np.inf))
    )
    low, high = (np.where(np.isfinite(each), each, 0.0) for each in (low, high))
    margin = high - low + 1
    bounds = np.where(np.isposinf(values), high + margin, low - margin).astype(values.dtype)
    return attrs.evolve(scores, values=np.where(np.isinf(values), bounds, values))


def _alike(values: NDArray[Any]) -> bool:
    """Tell whether the outputs are the same for all images, of two or more."""
    spread = float(np.ptp(values, axis=0).max(initial=0.0))
    return len(values) > 1 and spread <= DEGENERATE_SPREAD * float(np.abs(values).max(initial=0.0))


def _summary(oracle: Comparator, measure: NDArray[np.float64]) -> dict[str, float | None]:
    if not len(measure):
        return {"mean": None, "worst": None}
    worst = measure.max() if oracle.worse == "higher" else measure.min()
    return {"mean": finite(measure.mean()), "worst": finite(worst)}
