"""A run directory as users and reporters see it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.mutant import COMBINED
from mutatenn.api.values import Scores
from mutatenn.api.verdict import Status
from mutatenn.errors import InputError
from mutatenn.files import read_file
from mutatenn.nearest import suggestion
from mutatenn.results.delta import Delta
from mutatenn.results.estimate import CONFIDENCE, Interval, Stratum, stratified
from mutatenn.results.frames import frame, rows, table
from mutatenn.results.judge import Judge
from mutatenn.results.layer_score import LayerScore
from mutatenn.results.notebook import html_table
from mutatenn.results.observations import merge
from mutatenn.results.record import CHANGE, Image, Record, changes_folder
from mutatenn.results.score import MutationScore
from mutatenn.results.store import Store
from mutatenn.results.thresholds import (
    Failed,
    Reached,
    failed,
    failed_originals,
    few_verdicts,
    without_verdict,
)
from mutatenn.results.wanted import Stop, Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.baseline import Baseline
    from mutatenn.api.comparator import Comparator
    from mutatenn.api.executor import Observation
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.verdict import Verdict
    from mutatenn.results.planned import PlannedOperator

CAMPAIGN_FILE = "campaign.toml"
PLOTS = "mutatenn.analysis.plots"
"""Above this layer: found by name when it is asked for, as the public names of ``mutatenn`` are."""


@attrs.frozen(eq=False)
class Run:
    """One campaign's run directory: what was planned, and what has been seen of it so far.

    Of the campaign it knows ``name``, ``facts``, ``images``, ``environments`` and ``thresholds``; of the
    original ``baselines`` and :meth:`outputs`; of mutants, one by one, :meth:`records`, :meth:`mutant`,
    :meth:`verdict`, :meth:`outputs` and :meth:`changes`; and counted, :meth:`score`, :meth:`scores` by
    operator, :meth:`layer_scores`, :meth:`operators` with their sites, :meth:`waiting` and :meth:`interval`.
    An environment whose original has not run yet is in ``environments``, but not in ``baselines``; a mutant
    without a verdict is among the records, but has none in its ``verdicts``.

    ``demands``, values of :class:`Thresholds` by name, stand in the place of the campaign's own, and ask of
    what has run so far: mutants that still wait have no benefit of the doubt. ``against`` is an earlier run,
    with which :meth:`since` compares.
    """

    directory: Path
    _store: Store
    demands: Mapping[str, Any] = attrs.field(factory=dict)
    against: Run | None = None

    @classmethod
    def open(cls, directory: str | Path) -> Run:
        """Open a run for reading; raises InputError where there is none."""
        return cls(Path(directory), Store.open(Path(directory)))

    @property
    def name(self) -> str:
        """The campaign's name."""
        return str(self._store.meta("name"))

    @property
    def environments(self) -> tuple[str, ...]:
        """The names of the environments, in the campaign's order."""
        return tuple(self._store.meta("environments") or ())

    @property
    def facts(self) -> dict[str, Any]:
        """Provenance: versions, host, model, targets, oracles."""
        return dict(self._store.meta("facts") or {})

    def factors(self, environment: str) -> dict[str, str]:
        """Return what an environment is known by: framework, route, profile, device, and the user's own."""
        facts = self.facts.get("environments", {}).get(environment, {})
        told = {key: str(facts.get(key) or "") for key in ("route", "profile")}  # runs of earlier versions
        return dict(facts.get("factors") or {key: value for key, value in told.items() if value})

    @property
    def image_names(self) -> tuple[str, ...]:
        """The images' names, in the order of every output array."""
        return tuple(image.name for image in self.images)

    @property
    def images(self) -> tuple[Image, ...]:
        """The images, in the order of every output array."""
        return tuple(Image(*image) for image in self._store.images())

    @property
    def baselines(self) -> dict[str, Baseline]:
        """How the original did, per environment."""
        return self._store.baselines()

    @property
    def failures(self) -> dict[str, str]:
        """Why the original could not be had in environments that may fail, by name."""
        kept: dict[str, str] = self._store.meta("failures") or {}
        return {name: why for name, why in kept.items() if name not in self.baselines}

    @property
    def mutants(self) -> list[Record]:
        """All planned mutants with the verdicts they have so far, in the plan's order."""
        return list(self.records())

    def records(self) -> Iterator[Record]:
        """Yield :attr:`mutants` one by one: a campaign may have more than fit into memory."""
        skipped, accepted = self.skipped, self.accepted
        for mutant in self.planned():
            reasons = skipped.get(mutant.id, ""), accepted.get(mutant.id, "")
            yield Record(mutant, self._record(mutant).verdicts, *reasons)

    def planned(self) -> Iterator[Mutant]:
        """Yield the planned mutants, in the plan's order."""
        return self._store.mutants()

    def mutant(self, name: str) -> Record:
        """Return one mutant by id, or by a prefix of its id that fits no other.

        Raises InputError if none or several fit.
        """
        fitting = list(self._store.mutants(name))
        fitting = [each for each in fitting if each.id == name] or fitting
        if not fitting:
            hint = suggestion(name, self._store.ids()) or ";"
            raise InputError(f"no mutant {name!r} in {self.directory}{hint} `mutatenn plan --list` lists all")
        if len(fitting) > 1:
            some = ", ".join([*(each.id for each in fitting[:3]), *["..."] * (len(fitting) > 3)])  # noqa: PLR2004  # enough to see
            raise InputError(f"{len(fitting)} mutants begin with {name!r}: {some}; give more of the id")
        return self._record(fitting[0])

    def _record(self, mutant: Mutant) -> Record:
        found = {name: self.verdict(name, mutant.id) for name in self.environments}
        return Record(mutant, {name: verdict for name, verdict in found.items() if verdict is not None})

    def mutants_of(self, environment: str) -> list[str]:
        """Return the ids of an environment's mutants, in the plan's order."""
        return self._store.trials(environment)

    def operators(self, environment: str) -> list[PlannedOperator]:
        """Return what the plan says of each operator there, once for each entry that asks for it."""
        return self._store.operators(environment)

    def waiting(self, environment: str) -> dict[str, int]:
        """Return how many mutants have no verdict yet and are not skipped, by operator."""
        return self._store.tallies.waiting(environment)

    def statuses(self, environment: str) -> dict[str, Status]:
        """Return the status of every judged mutant of an environment, by id."""
        return self._store.tallies.statuses(environment)

    def verdict(self, environment: str, mutant: str) -> Verdict | None:
        """Return the verdict on a mutant in an environment, None before it has one."""
        return self._store.verdict(environment, mutant)

    def verdicts(self, environment: str, status: Status) -> Iterator[Verdict]:
        """Yield the verdicts of one status in an environment, in the plan's order."""
        return self._store.verdicts(environment, status)

    def duplicates(self, environment: str) -> dict[str, str]:
        """Return the mutants whose program an earlier one has, with the first that has it."""
        return self._store.tallies.duplicates(environment)

    def strays(self, environment: str) -> int:
        """Return how many mutants read memory that they must not, and would have ended alike otherwise."""
        return self._store.tallies.strays(environment)

    def slow(
        self, environment: str, times: float = 3.0, least: float = 2.0
    ) -> Iterator[tuple[str, float, float]]:
        """Yield the mutants whose calls took more than so many times the original's, and ``least`` seconds.

        Each with its seconds and the original's for the same images, the slowest first; of processor time,
        which does not depend on what else runs. Building them counts for nothing.
        """
        return self._store.tallies.slow(environment, times, least)

    @property
    def skipped(self) -> dict[str, str]:
        """The user's reasons not to run mutants, by id."""
        return self._store.remarks("skip")

    @property
    def accepted(self) -> dict[str, str]:
        """The user's reasons to live with the survival of mutants, by id."""
        return self._store.remarks("accept")

    def accepted_survivors(self, environment: str) -> int:
        """Return how many survivors of an environment are accepted."""
        return self._store.tallies.accepted(environment)

    def since(self, environment: str) -> Delta | None:
        """Return what is different in an environment since the earlier run ``against``.

        None without one, or where it has no such environment.
        """
        earlier = self.against
        if earlier is None or environment not in earlier.environments:
            return None
        return Delta.between(
            earlier.statuses(environment),
            earlier.mutants_of(environment),
            self.statuses(environment),
            self.mutants_of(environment),
        )

    @property
    def stop(self) -> Stop | None:
        """When the run may stop before all mutants have run; None for never."""
        kept = self._store.meta("stop")
        return Stop(**kept) if kept else None

    def original(self, environment: str) -> NDArray[np.float32] | None:
        """Return the original's outputs, float32 ``[images, classes]``, None before it ran."""
        return self._store.original(environment)

    def outputs(self, environment: str, mutant: str | None) -> NDArray[np.float32]:
        """Return float32 outputs ``[images, classes]``: the original's (``mutant`` None) or a mutant's.

        Images on which nothing changed carry the original's values. Raises InputError for an unknown
        environment, or a mutant that has no outputs (not run, or ended otherwise).
        """
        original = self.original(environment) if environment in self.environments else None
        if original is None:
            known = ", ".join(self.environments)
            raise InputError(
                f"no outputs for environment {environment!r} in {self.directory}; it has {known}"
            )
        if mutant is None:
            return original
        seen = self.observation(environment, mutant)
        if seen is None or seen.outcome not in {"ran", "equivalent"}:
            how = f"it ended as {seen.outcome}" if seen else "it has not run there"
            raise InputError(f"mutant {mutant!r} has no outputs in {environment!r}: {how}")
        return seen.patched(original)

    def observation(self, environment: str, mutant: str) -> Observation | None:
        """Return what was seen of a mutant on all images, or None while shards are missing."""
        shards = self._store.observations(environment, mutant)
        for seen in shards.values():
            if seen.outcome != "ran":
                return seen
        return merge(list(shards.values())) if len(shards) == self._store.meta("shards") else None

    def times(self, environment: str) -> NDArray[np.float32] | None:
        """Return the original's seconds, float32 ``[repeats, images]``; None where ``[time]`` did not ask."""
        return self._store.times(environment)

    def about_times(self, environment: str) -> dict[str, Any]:
        """Return how they were measured: warmup, repeats, images; load and processors of the machine."""
        return dict(self._store.about_times(environment) or {})

    def score(self, environment: str | None = None) -> MutationScore:
        """Return the score of an environment, or the counts of all environments together (None).

        Only where there is one environment, these are the score of one.
        """
        names = self.environments if environment is None else (environment,)
        counted = MutationScore.total(self._store.tallies.counts(name) for name in names)
        return attrs.evolve(counted, interval=self.interval(names[0]) if len(names) == 1 else None)

    def scores(self, environment: str) -> dict[str, MutationScore]:
        """Count the verdicts of an environment per operator, of those that have mutants there."""
        counts = self._store.tallies.operator_counts(environment)
        return {operator: MutationScore.total([each]) for operator, each in counts.items()}

    def layer_scores(self, environment: str) -> list[LayerScore]:
        """Count the verdicts of an environment per layer, or layers that one piece of code computes.

        They stand in the order of the network. Mutants of several sites are left out; so are those of layers
        that the frontend does not tell.
        """
        sampled = any(entry.population > entry.mutants for entry in self.operators(environment))
        counts = self._store.tallies.layer_counts(environment)
        known = self.facts.get("environments", {}).get(environment, {}).get("layers", ())
        places = {name: place for place, name in enumerate(known)}
        found = [
            LayerScore(layers, MutationScore.total([each]), masked, sampled)
            for layers, (each, masked) in counts.items()
        ]
        return sorted(found, key=lambda each: places.get(each.layers[0], len(places)))

    @property
    def thresholds(self) -> Thresholds:
        """What the results must reach: as the campaign file said when it was last run."""
        return Thresholds(**(self._store.meta("thresholds") or {})).demanding(self.demands)

    @property
    def failed_thresholds(self) -> tuple[Failed, ...]:
        """The thresholds that the results so far do not reach, environment by environment."""
        statuses = {name: self.statuses(name) for name in self.environments}
        return self.check_thresholds({name: self.scores(name) for name in self.environments}, statuses)

    def check_thresholds(
        self,
        scores: Mapping[str, Mapping[str, MutationScore]],
        statuses: Mapping[str, Mapping[str, Status]],
    ) -> tuple[Failed, ...]:
        """Return the thresholds that these results do not reach.

        They are scores by environment and operator, and statuses by environment and mutant.
        """
        reached = [
            Reached(
                name,
                found,
                self.waiting(name),
                self.total,
                {entry.operator: entry.category for entry in self.operators(name)},
                self._new_survivors(name, statuses[name]),
            )
            for name, found in scores.items()
        ]
        final = self.stop is not None or bool(self.demands)
        originals = failed_originals(self.thresholds, self.baselines)
        return (*originals, *failed(self.thresholds, reached, final=final))

    def _new_survivors(self, environment: str, statuses: Mapping[str, Status]) -> list[str]:
        """Return the survivors that are neither accepted nor known from the earlier run."""
        known = set(self.accepted)
        if self.against is not None and environment in self.against.environments:
            earlier = self.against.statuses(environment)
            known |= {name for name, status in earlier.items() if status == Status.SURVIVED}
        return [name for name, status in statuses.items() if status == Status.SURVIVED and name not in known]

    def total(self, environment: str, scores: Mapping[str, MutationScore]) -> MutationScore:
        """Return the score of an environment from those of its operators, or of some of them.

        Scores by another oracle do, too.
        """
        counted = MutationScore.total(each.counts for each in scores.values())
        return attrs.evolve(counted, interval=self._interval(environment, scores, CONFIDENCE))

    def few_verdicts(self, environment: str) -> dict[str, str]:
        """Return the operators more than half of whose mutants have no verdict, each with what they have."""
        found = few_verdicts(self.scores(environment))
        return {operator: without_verdict(score) for operator, score in found.items()}

    def interval(self, environment: str, confidence: float = CONFIDENCE) -> Interval | None:
        """Return what the mutants judged so far tell about the score of all that could have been.

        None where that is no random sample of a known population: a run that was cut short or leaves mutants
        out, higher-order mutants, or operators that several entries of the campaign ask for.
        """
        return self._interval(environment, self.scores(environment), confidence)

    def _interval(
        self, environment: str, scores: Mapping[str, MutationScore], confidence: float
    ) -> Interval | None:
        entries = [entry for entry in self.operators(environment) if entry.population]
        entries = [entry for entry in entries if entry.operator in scores or not entry.mutants]
        names = [entry.operator for entry in entries]
        if self.skipped or not entries or COMBINED in names or len(set(names)) < len(names):
            return None
        found = [(entry, scores.get(entry.operator)) for entry in entries]
        judged = [(entry, score.judged if score else 0) for entry, score in found]
        if any(number > entry.population for entry, number in judged):
            return None  # its plan is damaged
        if not self.stop and any(number < entry.mutants for entry, number in judged):
            return None  # it was cut short
        return stratified([_stratum(entry, score) for entry, score in found], confidence)

    def masking(self, environment: str) -> Iterator[tuple[str, int, str, int]]:
        """Yield the higher-order mutants that fewer images kill than one of their parts alone.

        Each with the images that kill it, that part, and the images that kill the part.
        """
        for mutant in self._store.mutants("combined."):
            verdict = self.verdict(environment, mutant.id)
            alone = [
                (seen.killed, part.id)
                for part in mutant.parts
                if (seen := self.verdict(environment, part.id))
            ]
            if verdict is not None and verdict.images and alone and max(alone)[0] > verdict.killed:
                yield mutant.id, verdict.killed, max(alone)[1], max(alone)[0]

    def judge(self, environment: str, kill: str, oracles: Mapping[str, Comparator]) -> Judge:
        """Return the judge of an environment, whose baseline must have run."""
        return Judge(environment, self.image_names, self.original_scores(environment), kill, oracles)

    def original_scores(self, environment: str) -> Scores:
        """Return the original's outputs, whose baseline must have run, as what they are."""
        return Scores(self.outputs(environment, None), self.baselines[environment].kind)  # type: ignore[arg-type]

    @property
    def identity(self) -> str:
        """A digest (hex) of all that decides the run's results."""
        return str(self._store.meta("identity"))

    def changes(self, mutant: str) -> dict[str, str]:
        """Return the unified diff of a mutant's code per environment, where it was built."""
        found = sorted(changes_folder(self.directory, mutant).glob(f"*/{CHANGE}"))
        return {path.parent.name: read_file(path).decode(errors="replace") for path in found}

    @property
    def plot(self) -> Any:
        """Pictures of the run: ``run.plot.scores()``; see :class:`mutatenn.analysis.plots.Plots`."""
        return import_module(PLOTS).Plots(self)

    def _repr_html_(self) -> str:
        rows = []
        for name in self.environments:
            score, waiting = self.score(name), sum(self.waiting(name).values())
            told = f"{score.value:.2f}" if score.valid else "-"
            if score.interval and score.sampled:
                told += f" ({score.interval.low:.2f} to {score.interval.high:.2f})"
            rows.append([name, told, score.detected, score.valid, score.judged - score.valid, waiting])
        head = ("environment", "score", "detected", "valid", "in no score", "not run")
        return html_table(f"{self.name}: {len(self.image_names)} images, {self.directory}", head, rows)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the verdicts as plain data, one for each mutant and environment that has one.

        The keys are ``operator``, ``category``, ``level``, ``stage``, ``layers`` (names in one text), those
        of a :class:`Verdict` (``by`` as one text), and ``ORACLE.mean`` and ``ORACLE.worst``.
        """
        return rows(self.records())

    def frame(self) -> Any:
        """Return the verdicts as a pandas DataFrame, one row per mutant and environment.

        Raises InputError where pandas is not installed.
        """
        return frame(self.records())

    def table(self) -> Any:
        """Return the verdicts as a pyarrow Table, one row per mutant and environment, ``masked`` as JSON.

        Raises InputError where pyarrow is not installed.
        """
        return table(self.records())


def _stratum(entry: PlannedOperator, score: MutationScore | None) -> Stratum:
    if score is None:
        return Stratum.of(0, 0, 0, entry.population)
    drawn = sum(score.counts.values()) - score.counts[Status.INFRASTRUCTURE_ERROR]
    return Stratum.of(score.detected, score.valid, drawn, entry.population)
