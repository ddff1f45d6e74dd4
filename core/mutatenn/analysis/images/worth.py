"""What the images of a run are worth: which are needed, which add nothing, what they nearly killed."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.analysis.images.cover import Cover, dominators, smallest_cover
from mutatenn.analysis.images.kill_matrix import unpacked
from mutatenn.api.verdict import Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.analysis.images.kill_matrix import KillMatrix
    from mutatenn.api.executor import Observation
    from mutatenn.api.verdict import Verdict
    from mutatenn.results.run import Run

EXAMINED = 200  # survivors whose outputs are read
NEAREST = 3  # images that are named of each


@attrs.frozen
class ImageWorth:
    """What the images of one environment do.

    ``kills`` counts the mutants each image kills, most first. ``idle`` images kill none; a ``dominated``
    one only kills what another does, which stands beside it (of images that kill the same, the first is
    kept). ``sole`` are the mutants that exactly one image kills, and that image. ``apart`` are the mutants
    detected otherwise, and how they ended: ``crashed``, ``timed-out``, or ``killed`` by
    their outputs as a whole. ``needed`` are the images of ``cover``, each with how many mutants it and those
    before it kill. Equals stand in the order of the images, mutants in the plan's.
    """

    environment: str
    mutants: int
    kills: dict[str, int]
    idle: tuple[str, ...]
    dominated: dict[str, str]
    sole: dict[str, str]
    apart: dict[str, Status]
    needed: dict[str, int]
    cover: Cover

    @property
    def killed(self) -> int:
        """How many mutants some image kills."""
        return max(self.needed.values(), default=0)


@attrs.frozen
class Survivor:
    """How close a mutant that survived came to being noticed.

    ``lost`` is the largest share of its margin (top-1 score less the second) that an image lost, 0 to 1, at
    which the label changes, and ``image`` that image (None where none lost any); ``nearest`` are the three
    that lost most. Under another oracle than top-1, the labels of survivors may change: ``labels_changed``
    counts the images, ``lost`` goes above 1. ``propagated`` counts the images whose output differs.
    """

    mutant: str
    lost: float
    image: str | None
    labels_changed: int
    propagated: int
    nearest: dict[str, float] = attrs.field(factory=dict)


def worth(matrix: KillMatrix) -> ImageWorth:
    """Return what the images of a kill matrix are worth."""
    names, kills, killed = matrix.images, matrix.kills(), matrix.killed()
    cover = smallest_cover(matrix.bits, len(names))
    by = dominators(matrix.bits, len(names))
    (single,) = np.nonzero(killed == 1)
    only = unpacked(matrix.bits[single], len(names)).argmax(axis=1)
    ended = zip(matrix.mutants, matrix.statuses, killed, strict=True)
    return ImageWorth(
        environment=matrix.environment,
        mutants=len(matrix.mutants),
        kills={names[image]: int(kills[image]) for image in np.argsort(-kills, kind="stable")},
        idle=tuple(names[image] for image in np.flatnonzero(kills == 0)),
        dominated={names[image]: names[by[image]] for image in np.flatnonzero(by >= 0)},
        sole={matrix.mutants[row]: names[image] for row, image in zip(single, only, strict=True)},
        apart={name: status for name, status, count in ended if status.detected and not count},
        needed=_needed(matrix, cover),
        cover=cover,
    )


def _needed(matrix: KillMatrix, cover: Cover) -> dict[str, int]:
    columns = matrix.by_image()[list(cover.images)]
    together = np.bitwise_or.accumulate(columns, axis=0)
    counts = [int(np.unpackbits(row).sum()) for row in together]
    return {matrix.images[image]: count for image, count in zip(cover.images, counts, strict=True)}


def closest_survivors(run: Run, environment: str, examined: int = EXAMINED) -> list[Survivor]:
    """Return the survivors of an environment that came closest to being noticed, closest first.

    Those that the campaign accepts are left out. First come those that changed most labels, among these those
    that took most of a margin, then those that changed most by :func:`_change`. Reads the outputs, one mutant
    at a time, of the ``examined`` survivors that changed most by that; the others are left out.
    """
    accepted = run.accepted
    survived = (each for each in run.verdicts(environment, Status.SURVIVED) if each.mutant not in accepted)
    verdicts = heapq.nlargest(examined, survived, key=_change)
    if not verdicts:
        return []
    original = run.outputs(environment, None).astype(np.float64)
    names = run.image_names
    found = [_survivor(each, run.observation(environment, each.mutant), original, names) for each in verdicts]
    return sorted(found, key=lambda each: (-each.labels_changed, -each.lost))  # else as they stand


def _change(verdict: Verdict) -> tuple[float, ...]:
    """Return labels changed, largest change of a score (where measured), outputs changed, images infected."""
    worst = verdict.oracles.get("max-abs", {}).get("worst") or 0.0
    return (verdict.labels_changed, worst, verdict.propagated, verdict.infected)


def _survivor(
    verdict: Verdict, seen: Observation | None, original: NDArray[np.float64], names: tuple[str, ...]
) -> Survivor:
    nearest: dict[str, float] = {}
    if seen is not None and len(seen.rows):
        shares = margin_lost(original[seen.rows], seen.outputs)
        most = np.argsort(-shares, kind="stable")[:NEAREST]
        nearest = {names[seen.rows[row]]: float(shares[row]) for row in most if shares[row] > 0}
    image, lost = next(iter(nearest.items()), (None, 0.0))
    return Survivor(verdict.mutant, lost, image, verdict.labels_changed, verdict.propagated, nearest)


def margin_lost(original: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the share of the top-1 margin that each image lost, float64 ``[images]``; negative for a gain.

    Both arrays are finite outputs ``[images, classes]``. The margin is the score of the original's top-1
    class less the largest other. Where the original has no margin, 1 if there is a negative one now, else 0.
    """
    labels = original.argmax(axis=1)
    before, after = _margins(original, labels), _margins(values, labels)
    share = (after < 0).astype(np.float64)
    return np.divide(before - after, before, out=share, where=before > 0)


def _margins(values: NDArray[np.floating], labels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return by how much each image's class leads the others; 0 where there is no other."""
    rows = np.arange(len(values))
    others = values.astype(np.float64)
    top = others[rows, labels]
    others[rows, labels] = -np.inf
    best = others.max(axis=1)
    return np.where(np.isfinite(best), top - best, 0.0)
