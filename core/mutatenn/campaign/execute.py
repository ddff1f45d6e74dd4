"""Runs a campaign from its file to its verdicts, or continues one."""

from __future__ import annotations

import contextlib
import difflib
import random
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.api.executor import Job
from mutatenn.border import calling, is_built_in, named
from mutatenn.campaign import gate, provenance
from mutatenn.campaign.baseline import judge_original
from mutatenn.campaign.derive import derive
from mutatenn.campaign.directory import open_run_directory
from mutatenn.campaign.files import write_atomically
from mutatenn.campaign.observed import observations
from mutatenn.campaign.options import create
from mutatenn.campaign.promises import run_reference
from mutatenn.campaign.run import Run
from mutatenn.campaign.select import remarks, select
from mutatenn.campaign.setup import Setup, set_up
from mutatenn.engine.caretaker import caretaker
from mutatenn.engine.evaluate import KernelError
from mutatenn.engine.isolate import isolated
from mutatenn.engine.keep import SMALLEST_SHARE
from mutatenn.errors import BaselineError, BuildError, InfrastructureError, PluginError
from mutatenn.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from mutatenn.api.executor import Executor, Observation
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.program import Program
    from mutatenn.campaign.judge import Judge
    from mutatenn.compiler.toolchain import Change, Toolchain


@caretaker()
def run(
    campaign: str | Path,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    reuse: bool = True,
    only: Sequence[str] = (),
    reporters: Sequence[str] = (),
    host: PluginHost | None = None,
) -> Run:
    """Run a campaign file to the end, or continue its run where it stopped, and return the run.

    ``out`` is the run directory (default ``runs/<name>``), ``workers`` the number of mutants run at a time
    (default: one per processor). ``reuse=False`` computes every mutant from the first kernel, for checking.
    ``only`` names the mutants to run, by id, beginning or pattern; the others wait for another time.
    ``reporters`` names reporters that follow the campaign. Raises InputError, BaselineError,
    InfrastructureError.
    """
    host = host or PluginHost.installed()
    setup = set_up(campaign, host)
    directory = Path(out) if out is not None else Path("runs") / setup.campaign.name
    with (
        _followed(host, reporters),
        open_run_directory(directory, setup.campaign, provenance.identity(setup)) as opened,
    ):
        error: BaseException | None = None
        try:
            Campaign(host, setup, opened, workers or provenance.cpus(), reuse, tuple(only)).execute()
        except OSError as raised:
            error = InfrastructureError(f"{raised}; the results so far are kept, run again to continue")
            raise error from raised
        except BaseException as raised:
            error = raised
            raise
        finally:
            host.emit("mutatenn_campaign_finish", run=opened, error=error)
    return Run.open(directory)


@contextlib.contextmanager
def _followed(host: PluginHost, reporters: Sequence[str]) -> Iterator[None]:
    """Let reporters hear of the campaign."""
    with contextlib.ExitStack() as stack:
        for name in reporters:
            host.register(create(host.get("reporter", name), {}), f"reporter:{name}")
            stack.callback(host.unregister, f"reporter:{name}")
        yield


@attrs.frozen(eq=False)
class Campaign:
    """A set-up campaign and the run that keeps its results."""

    host: PluginHost
    setup: Setup
    run: Run
    workers: int
    reuse: bool
    only: tuple[str, ...]

    def execute(self) -> None:
        """Plan if this run has no plan yet, pass the gate, then run what is not done."""
        here = [env.name for env in self.setup.campaign.environments if not env.offline]
        missing = [name for name in here if self._needs_baseline(name)]
        with self._reference() if missing else contextlib.nullcontext() as reference:
            if not self.run.store.began():
                self._plan()
            self.run.store.set_remarks(set(remarks(self.setup.campaign, self.run.store.ids())))
            stop = None if self.only else self.setup.campaign.stop  # what the user picks is no random sample
            self.run.store.set_meta("stop", attrs.asdict(stop) if stop else None)
            self.run.store.set_meta("thresholds", attrs.asdict(self.setup.campaign.thresholds))
            chosen = self._chosen()
            self.host.emit("mutatenn_campaign_start", run=self.run)
            if reference:
                self._pass_gate(missing, reference)
        for environment, toolchain in self.setup.toolchains.items():
            if environment in here:
                Trials(self, environment, toolchain, chosen).execute()

    def _chosen(self) -> set[str]:
        """Return the mutants to run now."""
        ids = self.run.store.ids()
        chosen = {mutant for name in self.only for mutant in select(name, ids)} if self.only else set(ids)
        return chosen - self.run.store.remarks("skip").keys()

    def _plan(self) -> None:
        plans = self.setup.plans()
        dataset = self.setup.dataset
        truth = dataset.truth or [None] * len(dataset.names)
        self.run.store.set_plan(
            zip(dataset.names, truth, dataset.digests(), strict=True),
            {name: (each.mutants, each.operators) for name, each in plans.items()},
            identity=provenance.identity(self.setup),
            name=self.setup.campaign.name,
            environments=[env.name for env in self.setup.campaign.environments],
            facts=provenance.facts(self.setup),
            shards=len(self._shards()),
            shard_images=self._shards()[0],
        )

    def _shards(self) -> list[int]:
        """Return the number of images per shard: as many as the memory budget allows."""
        programs = [toolchain.program for toolchain in self.setup.toolchains.values()]
        largest = max((program.result_bytes for program in programs), default=1)
        images = len(self.setup.images)
        room = SMALLEST_SHARE * self.setup.campaign.limits.shard_bytes
        size = min(images, max(1, room // largest))
        return [min(size, images - start) for start in range(0, images, size)]

    def _reference(self) -> contextlib.AbstractContextManager[Callable[[], NDArray[np.float32]]]:
        """Run the reference meanwhile, in a process of its own."""
        setup = self.setup
        limits = setup.campaign.limits
        seconds = limits.build_seconds + limits.time_floor * len(setup.images)
        return isolated(lambda: run_reference(setup.frontend, setup.model, setup.images), seconds)

    def _pass_gate(self, missing: Sequence[str], reference: Callable[[], NDArray[np.float32]]) -> None:
        red = [problem for name in missing for problem in self._measure(name, reference)]
        if red:
            raise BaselineError(f"the original fails the baseline gate: {'; '.join(red)}")

    def _needs_baseline(self, environment: str) -> bool:
        baseline = self.run.baselines.get(environment)
        return baseline is None or bool(baseline.problems)

    def _measure(self, environment: str, reference: Callable[[], NDArray[np.float32]]) -> list[str]:
        setup = self.setup
        plugin = setup.backends.get(environment, setup.frontend)
        with calling(plugin, "its device" if environment in setup.backends else "reference"):
            try:
                measured = self._measured(environment)
            except (BuildError, InfrastructureError, KernelError) as error:
                return [f"environment {environment!r}: the original cannot be built and run: {error}"]
        baseline = judge_original(setup, environment, measured, self._answer(reference))
        self.run.store.set_baseline(baseline, measured.first)
        self.host.emit("mutatenn_baseline_finished", run=self.run, baseline=baseline)
        return [f"environment {environment!r}: {problem}" for problem in baseline.problems]

    def _answer(self, reference: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Wait for the reference's outputs; raises PluginError where a plugin's framework gives none."""
        frontend = self.setup.frontend
        try:
            return reference()
        except InfrastructureError as error:
            kind = InfrastructureError if is_built_in(type(frontend)) else PluginError
            raise kind(
                f"{named(frontend)}: reference gave nothing: {error}; it has limits.build_seconds, and "
                "limits.time_floor for each image"
            ) from error

    def _measured(self, environment: str) -> gate.Measured:
        setup = self.setup
        if environment in setup.backends:
            toolchain = setup.toolchains[environment]
            return gate.measure(toolchain.backend, toolchain.program, setup.images)
        imported = setup.imported[environment]
        return gate.measure_reference(imported.frontend, imported.model, setup.images)


@attrs.define(eq=False)
class Trials:
    """The mutants of one environment: run what is not done, judge what is."""

    campaign: Campaign
    environment: str
    toolchain: Toolchain
    chosen: set[str]
    mutants: dict[str, Mutant] = attrs.field(init=False)
    _verdicts: int = attrs.field(init=False, default=0)
    _next_look: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        wanted = self.chosen.intersection(self.run.store.trials(self.environment))
        self.mutants = {mutant.id: mutant for mutant in self.run.store.mutants() if mutant.id in wanted}

    @property
    def run(self) -> Run:
        """The run that keeps the results."""
        return self.campaign.run

    def execute(self) -> None:
        """Bring every mutant to a verdict."""
        setup, store = self.campaign.setup, self.run.store
        judge = self.run.judge(self.environment, setup.kill, setup.oracles)
        executor: Executor = create(setup.host.get("executor", self.toolchain.backend.executor), {})
        for shard, images in enumerate(self._shards()):
            waiting = [] if self._enough() else self._waiting(shard)
            job = self._job(images, judge.original.values[images])
            with _ending(observations(executor, job, waiting) if waiting else iter(())) as stream:
                for seen in stream:
                    store.add_observation(self.environment, shard, self._share(seen, shard))
                    self._conclude(judge, seen.mutant)
                    if self._enough():
                        break
        judged = store.statuses(self.environment)
        for name in self.mutants:  # a run that was killed between an observation and its verdict
            if name not in judged:
                self._conclude(judge, name)

    def _share(self, seen: Observation, shard: int) -> Observation:
        """Give a duplicate what was seen of the mutant whose program it has."""
        if seen.outcome != "duplicate":
            return seen
        first = self.run.store.observations(self.environment, seen.message)[shard]
        return attrs.evolve(first, mutant=seen.mutant, seconds=seen.seconds)

    def _conclude(self, judge: Judge, mutant: str) -> None:
        seen = self.run.observation(self.environment, mutant)
        if seen is not None:
            verdict = judge.judge(seen)
            self.run.store.set_verdict(verdict)
            self.campaign.host.emit("mutatenn_trial_finished", run=self.run, verdict=verdict)

    def _shards(self) -> list[slice]:
        size, count = self.run.store.meta("shard_images"), self.run.store.meta("shards")
        return [slice(index * size, (index + 1) * size) for index in range(count)]

    def _waiting(self, shard: int) -> list[str]:
        """Return the mutants to run on a shard: not done there, nor ended for good on another."""
        progress = self.run.store.progress(self.environment)
        waiting = []
        for name in self.mutants:
            outcomes = progress.get(name, {})
            ended = set(outcomes.values()) - {"ran", "infrastructure-error"}
            if not ended and outcomes.get(shard) != "ran":
                waiting.append(name)
        if self.campaign.setup.campaign.stop:  # what has run when it stops must be a sample of all
            random.Random(self.campaign.setup.campaign.seed).shuffle(waiting)  # noqa: S311  # no secret
        return waiting

    def _enough(self) -> bool:
        """Tell whether the score is known as well as the campaign asks."""
        stop = self.campaign.setup.campaign.stop
        if stop is None or not self._due():
            return False
        interval = self.run.interval(self.environment, stop.confidence)
        return interval is not None and interval.narrow_enough(stop.width)

    def _due(self) -> bool:
        """Tell whether to look again: after a twentieth more verdicts."""
        self._verdicts += 1
        if self._verdicts < self._next_look:
            return False
        self._next_look = self._verdicts + self._verdicts // 20
        return True

    def _job(self, images: slice, expected: NDArray[Any]) -> Job:
        setup = self.campaign.setup
        return Job(
            backend=self.toolchain.backend,
            original=self.toolchain.program,
            images=setup.images[images],
            derive=self._derive,
            expected=np.asarray(expected, np.float32),
            noise=self.run.baselines[self.environment].noise,
            limits=setup.campaign.limits,
            workers=self.campaign.workers,
            reuse=self.campaign.reuse,
        )

    def _derive(self, name: str) -> Program:
        """Make a mutant, in its own process, and record what changed."""
        program, changes = derive(self.mutants[name], self.toolchain, self.campaign.host)
        record_changes(self.run.directory / "mutants" / name / self.environment, changes)
        return program


@contextlib.contextmanager
def _ending(observations: Iterator[Observation]) -> Iterator[Iterator[Observation]]:
    """End the executor's work with the block, not when the garbage is collected: it has processes to stop."""
    try:
        yield observations
    finally:
        if isinstance(observations, Generator):
            observations.close()


def record_changes(folder: Path, changes: Sequence[Change]) -> None:
    """Write ``before.py``, ``after.py`` and ``change.diff`` of a mutant."""
    before = "".join(f"# {change.unit}\n{change.before}\n" for change in changes)
    after = "".join(f"# {change.unit}\n{change.after}\n" for change in changes)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "before.py", "after.py", n=2, lineterm=""
    )
    for name, text in (("before.py", before), ("after.py", after), ("change.diff", "\n".join(lines) + "\n")):
        write_atomically(folder / name, text.encode())
