"""The book of an environment's trials: what is still to run, and what was seen, kept and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mutatenn.engine.shards import shards
from mutatenn.errors import InputError
from mutatenn.results.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutatenn.api.executor import Observation
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.results.judge import Judge
    from mutatenn.results.store import Store


@attrs.define(eq=False)
class TrialBook:
    """The trials of one environment, wherever they run; its baseline must have been taken."""

    setup: Setup
    store: Store
    environment: str
    judge: Judge = attrs.field(init=False)

    @judge.default
    def _judge(self) -> Judge:
        return self.setup.judge(self.run, self.environment)

    @property
    def run(self) -> Run:
        """The run that keeps the results."""
        return Run(self.store.directory, self.store)

    @property
    def shards(self) -> list[slice]:
        """Which images run together."""
        return shards(self.setup.image_count, self.store.meta("shard_images"))

    def pending(self, mutants: Iterable[str], shard: int) -> list[str]:
        """Return those of some mutants that are to run on a shard: not done there, nor ended for good."""
        progress = self.store.tallies.progress(self.environment)
        waiting = []
        for name in mutants:
            outcomes = progress.get(name, {})
            ended = set(outcomes.values()) - {"ran", "infrastructure-error"}
            if not ended and outcomes.get(shard) != "ran":
                waiting.append(name)
        return waiting

    def take(self, seen: Observation, shard: int) -> None:
        """Keep what was seen of a mutant on a shard: of a duplicate, what was seen of the first one.

        Raises InputError for a duplicate of a mutant that was not seen.
        """
        if seen.outcome == "duplicate":
            first = self.store.observations(self.environment, seen.message).get(shard)
            if first is None:
                raise InputError(
                    f"{seen.mutant} is a duplicate of {seen.message}, which is not in the results"
                )
            seen = attrs.evolve(first, mutant=seen.mutant, seconds=seen.seconds)
        self.store.add_observation(self.environment, shard, seen)

    def conclude(self, mutants: Iterable[str]) -> None:
        """Judge those of some mutants of which all is seen, and tell the listeners."""
        for mutant in mutants:
            seen = self.run.observation(self.environment, mutant)
            if seen is not None:
                verdict = self.judge.judge(seen)
                self.store.set_verdict(verdict)
                self.setup.host.emit("mutatenn_trial_finished", run=self.run, verdict=verdict)
