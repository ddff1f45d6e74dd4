"""Environments of one run or several, side by side: their names, and their outputs in one order of images."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.api.verdict import Status
from mutatenn.errors import InputError
from mutatenn.results.record import CHANGE, changes_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.baseline import Baseline
    from mutatenn.api.verdict import Verdict
    from mutatenn.results.run import Run

EndStatus = Status | Literal["waiting", "skipped", "not-planned"]
"""A status, or why a mutant has none in an environment."""
BUSY = 0.5
"""Load of a processor before the measurement, from which on times are marked."""
WITH_OUTPUTS = (Status.KILLED, Status.SURVIVED, Status.NEVER_INFECTED, Status.EQUIVALENT)


@attrs.frozen(eq=False)
class MutantOutputs:
    """A mutant's outputs ``[images, classes]``, and the images whose outputs are not the original's."""

    scores: Scores
    changed: NDArray[np.intp]

    def rows(self, rows: NDArray[np.intp]) -> Scores:
        """Return the outputs of some images."""
        return attrs.evolve(self.scores, values=self.scores.values[rows])


@attrs.frozen(eq=False)
class ComparedEnvironment:
    """One environment of one run, under the name by which a comparison knows it.

    Outputs are in the order of images that all sides of the comparison share; ``order`` holds, image by
    image, its position in the run's own arrays. ``normalised`` asks for probabilities where they are logits.
    ``planned`` holds the ids of its mutants, ``statuses`` those that have one, ``skipped`` those the
    campaign file leaves out.
    """

    name: str
    run: Run
    environment: str
    order: NDArray[np.intp]
    normalised: bool = False
    baseline: Baseline | None = attrs.field(init=False)
    _stored: NDArray[np.float32] | None = attrs.field(init=False)
    original: MutantOutputs | None = attrs.field(init=False)
    """Its outputs; None before it ran."""
    planned: dict[str, None] = attrs.field(init=False)
    statuses: dict[str, Status] = attrs.field(init=False)
    skipped: dict[str, str] = attrs.field(init=False)

    @baseline.default
    def _baseline(self) -> Baseline | None:
        return self.run.baselines.get(self.environment)

    @_stored.default
    def _outputs(self) -> NDArray[np.float32] | None:
        return self.run.original(self.environment)

    @original.default
    def _original(self) -> MutantOutputs | None:
        return None if self._stored is None else self._seen(self._stored, np.zeros(0, np.intp))

    @planned.default
    def _planned(self) -> dict[str, None]:
        return dict.fromkeys(self.run.mutants_of(self.environment))

    @statuses.default
    def _statuses(self) -> dict[str, Status]:
        return self.run.statuses(self.environment)

    @skipped.default
    def _skipped(self) -> dict[str, str]:
        return self.run.skipped

    @property
    def factors(self) -> dict[str, str]:
        """What it is known by: framework, route, profile, device, and the user's own."""
        return self.run.factors(self.environment)

    @property
    def times(self) -> NDArray[np.float32] | None:
        """The original's seconds, ``[repeats, images]``, None where they were not measured."""
        return self.run.times(self.environment)

    @property
    def busy(self) -> bool:
        """Whether the machine had other work when they were measured."""
        about = self.run.about_times(self.environment)
        return float(about.get("load", 0)) > BUSY * int(about.get("processors", 1))

    @property
    def failure(self) -> str:
        """Why there is no original, where it may fail and did; else empty."""
        return self.run.failures.get(self.environment, "")

    def ended(self, mutant: str) -> EndStatus:
        """Return how a mutant ended here."""
        if mutant not in self.planned:
            return "not-planned"
        return self.statuses.get(mutant) or ("skipped" if mutant in self.skipped else "waiting")

    def verdict(self, mutant: str) -> Verdict | None:
        """Return the verdict on a mutant here, or None."""
        return self.run.verdict(self.environment, mutant) if mutant in self.statuses else None

    def outputs(self, mutant: str) -> MutantOutputs | None:
        """Return what a mutant gave here, or None if its end is not that of one that ran."""
        if self.ended(mutant) not in WITH_OUTPUTS:
            return None
        observation = self.run.observation(self.environment, mutant)
        if self._stored is None or observation is None or observation.outcome not in {"ran", "equivalent"}:
            return None
        return self._seen(observation.patched(self._stored), observation.rows)

    def change(self, mutant: str) -> list[str]:
        """Return the lines of code that a mutant changed here; empty where that is not recorded."""
        path = changes_folder(self.run.directory, mutant, self.environment) / CHANGE
        try:
            lines = path.read_text().splitlines()[2:]  # after the names of the files
        except OSError:
            return []
        return [line for line in lines if line.startswith(("+", "-"))]

    def _seen(self, values: NDArray[np.floating[Any]], changed: NDArray[np.intp]) -> MutantOutputs:
        marked = np.zeros(len(values), bool)
        marked[changed] = True
        kind = self.baseline.kind if self.baseline else "probabilities"
        scores = Scores(values[self.order], kind)  # type: ignore[arg-type]  # as stored
        if self.normalised:
            with np.errstate(all="ignore"):  # not all are finite, which the measures see
                scores = Scores(scores.probabilities())
        return MutantOutputs(scores, np.flatnonzero(marked[self.order]))


def open_sides(runs: Sequence[Run]) -> tuple[ComparedEnvironment, ...]:
    """Return every environment of some runs.

    Raises InputError if the runs are not of the same images, or their models not of the same classes.
    """
    images = _images(runs[0])
    for run in runs[1:]:
        _check_images(runs[0], run)
    pairs = [(run, environment) for run in runs for environment in run.environments]
    kinds = {run.baselines[environment].kind for run, environment in pairs if environment in run.baselines}
    orders = {id(run): _order(images, run) for run in runs}
    sides = tuple(
        ComparedEnvironment(name, run, environment, orders[id(run)], normalised=len(kinds) > 1)
        for name, (run, environment) in zip(_names(pairs), pairs, strict=True)
    )
    _check_classes(sides)
    return sides


def _images(run: Run) -> dict[str, str]:
    """Return the digests of a run's images by name."""
    return {image.name: image.digest for image in run.images}


def _check_images(one: Run, other: Run) -> None:
    ours, theirs = _images(one), _images(other)
    if ours == theirs:
        return
    lone = [*(name for name in ours if name not in theirs), *(name for name in theirs if name not in ours)]
    different = [name for name in ours if theirs.get(name, ours[name]) != ours[name]]
    what = f"only one of them has {lone[0]!r}" if lone else f"they have different files {different[0]!r}"
    raise InputError(
        f"{one.directory} and {other.directory} are not of the same images: {what}; "
        "run both campaigns on the same files"
    )


def _order(images: Mapping[str, str], run: Run) -> NDArray[np.intp]:
    positions = {name: position for position, name in enumerate(run.image_names)}
    return np.array([positions[name] for name in images], np.intp)


def _check_classes(sides: Sequence[ComparedEnvironment]) -> None:
    found = {side.original.scores.values.shape[1]: side for side in sides if side.original is not None}
    if len(found) > 1:
        told = ", ".join(f"{side.name} has {classes}" for classes, side in found.items())
        raise InputError(
            f"the models do not have the same classes: {told}; compare runs of models for the same task"
        )


def _names(pairs: Sequence[tuple[Run, str]]) -> list[str]:
    """Return a name for each environment of each run, as short as can tell them apart."""
    choices: list[Callable[[Run, str], str]] = [
        lambda _, environment: environment,
        lambda run, environment: f"{run.directory.absolute().name}/{environment}",
        lambda run, environment: f"{run.directory}/{environment}",
    ]
    for name in choices:
        names = [name(run, environment) for run, environment in pairs]
        if len(set(names)) == len(names):
            return names
    twice = Counter(names).most_common(1)[0][0]
    raise InputError(f"{twice} is given twice; name each run directory once")
