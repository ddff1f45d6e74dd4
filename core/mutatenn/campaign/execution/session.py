"""Runs a campaign from its file to its verdicts, or continues one."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.api.executor import Job
from mutatenn.border import calling, is_built_in, named
from mutatenn.campaign.execution import provenance
from mutatenn.campaign.execution.changes import derive_recorded
from mutatenn.campaign.execution.observed import observations
from mutatenn.campaign.execution.run_directory import open_run_directory
from mutatenn.campaign.execution.setup import Setup, prepare, read
from mutatenn.campaign.execution.timing import measure_times
from mutatenn.campaign.execution.trials import TrialBook
from mutatenn.campaign.gate import gate
from mutatenn.campaign.gate.take_original import take_original
from mutatenn.campaign.planning.select_mutants import remarks, select
from mutatenn.engine.caretaker import caretaker
from mutatenn.engine.choose_kept import SMALLEST_SHARE
from mutatenn.engine.evaluate import KernelError
from mutatenn.engine.isolate import isolated
from mutatenn.engine.shards import shards
from mutatenn.errors import BaselineError, BuildError, InfrastructureError, PluginError
from mutatenn.host.options import create
from mutatenn.host.plugin_host import PluginHost
from mutatenn.printable import counted
from mutatenn.results.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.executor import Observation
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.program import Program
    from mutatenn.campaign.config.values import Campaign
    from mutatenn.compiler.toolchain import Toolchain
    from mutatenn.results.reporter import Reporter
    from mutatenn.results.store import Store

    Reference = Callable[[str], NDArray[np.float32]]
    """What an environment is measured by: its model's own framework's outputs."""


GIVEN = "given"
"""The order of mutants that a plugin has chosen."""


def run(
    campaign: str | Path,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    reuse: bool = True,
    only: Sequence[str] = (),
    reporters: Sequence[str | Reporter] = (),
    host: PluginHost | None = None,
) -> Run:
    """Run a campaign file to the end, or continue its run where it stopped, and return the run.

    ``out`` is the run directory (default ``runs/<name>``), ``workers`` the number of mutants run at a time
    (default: one per processor). ``reuse=False`` computes every mutant from the first kernel, for checking.
    ``only`` names the mutants to run, by id, beginning or pattern; the others wait for another time.
    ``reporters`` follow the campaign; a name stands for one with its default options. ``host`` has the
    plugins (default: all that are installed). Raises InputError, PluginError, BaselineError,
    InfrastructureError.
    """
    host = host or PluginHost.installed()

    def choose(_campaign: Campaign) -> list[Reporter]:
        return [
            create(host.get("reporter", each), {}) if isinstance(each, str) else each for each in reporters
        ]

    return run_campaign(campaign, out, choose, host, workers=workers, reuse=reuse, only=only)


@caretaker()
def run_campaign(
    campaign: str | Path,
    out: str | Path | None,
    choose: Callable[[Campaign], Iterable[Reporter]],
    host: PluginHost,
    *,
    workers: int | None,
    reuse: bool,
    only: Sequence[str],
    warn: Callable[[Setup], None] = lambda _: None,
) -> Run:
    """Run a campaign as :func:`run` does, followed by the reporters that are chosen once its file is read.

    ``warn`` is called once it is set up.
    """
    loaded = read(campaign, host)
    directory = Path(out) if out is not None else Path("runs") / loaded.name
    with contextlib.ExitStack() as stack:
        stack.enter_context(_followed(host, choose(loaded)))
        setup = prepare(loaded, campaign, host)
        warn(setup)
        store = stack.enter_context(open_run_directory(directory, setup))
        error: BaseException | None = None
        try:
            Session(setup, store, workers or provenance.cpus(), reuse, tuple(only)).execute()
        except OSError as raised:
            error = InfrastructureError(f"{raised}; the results so far are kept, run again to continue")
            raise error from raised
        except BaseException as raised:
            error = raised
            raise
        finally:
            host.emit("mutatenn_campaign_finish", run=Run(directory, store), error=error)
    return Run.open(directory)


@contextlib.contextmanager
def _followed(host: PluginHost, reporters: Iterable[Reporter]) -> Iterator[None]:
    """Let reporters hear of the campaign."""
    with contextlib.ExitStack() as stack:
        for reporter in reporters:
            host.register(reporter, f"reporter:{reporter.name}")
            stack.callback(host.unregister, f"reporter:{reporter.name}")
        yield


@attrs.frozen(eq=False)
class Session:
    """A set-up campaign and the database that keeps its results."""

    setup: Setup
    store: Store
    workers: int
    reuse: bool
    only: tuple[str, ...]

    @property
    def run(self) -> Run:
        """The run that keeps the results."""
        return Run(self.store.directory, self.store)

    def execute(self) -> None:
        """Plan if this run has no plan yet, pass the gate, then run what is not done."""
        here = [env.name for env in self.setup.campaign.environments if not env.offline]
        missing = [name for name in here if self._needs_baseline(name)]
        with self._references(missing) as reference:
            if not self.store.began():
                self._plan()
            self.store.set_remarks(set(remarks(self.setup.campaign, self.store.ids())))
            stop = None if self.only else self.setup.campaign.stop  # what the user picks is no random sample
            self.store.set_meta("stop", attrs.asdict(stop) if stop else None)
            self.store.set_meta("thresholds", attrs.asdict(self.setup.campaign.thresholds))
            chosen = self._chosen()
            self.setup.host.emit("mutatenn_campaign_start", run=self.run)
            if missing:
                self._pass_gate(missing, reference)
        measure_times(self.setup, self.store, [name for name in here if self._compiled(name)])
        for environment, toolchain in self.setup.toolchains.items():
            if environment in here and self._compiled(environment):
                wanted = [name for name in self.store.trials(environment) if name in chosen]
                Trials(self, toolchain, TrialBook(self.setup, self.store, environment), wanted).execute()

    def _chosen(self) -> set[str]:
        """Return the mutants to run now."""
        ids = self.store.ids()
        chosen = {mutant for name in self.only for mutant in select(name, ids)} if self.only else set(ids)
        return chosen - self.store.remarks("skip").keys()

    def _plan(self) -> None:
        plans = self.setup.plans()
        size = self._shard_images()
        operators = dict.fromkeys(each.operator for plan in plans.values() for each in plan.mutants)
        dataset = self.setup.dataset
        truth = dataset.truth or [None] * len(dataset.names)
        self.store.set_plan(
            zip(dataset.names, truth, dataset.digests, strict=True),
            {name: (each.mutants, each.operators) for name, each in plans.items()},
            identity=provenance.identity(self.setup),
            name=self.setup.campaign.name,
            environments=[env.name for env in self.setup.campaign.environments],
            facts=provenance.facts(self.setup, operators),
            shards=len(shards(self.setup.image_count, size)),
            shard_images=size,
            order=GIVEN if any(each.reordered for each in plans.values()) else "random",
        )

    def _shard_images(self) -> int:
        """Return the number of images per shard: as many as the memory budget allows."""
        programs = [toolchain.program for toolchain in self.setup.toolchains.values()]
        largest = max((program.result_bytes for program in programs), default=1)
        room = SMALLEST_SHARE * self.setup.campaign.limits.shard_bytes
        return min(self.setup.image_count, max(1, room // largest))

    @contextlib.contextmanager
    def _references(self, environments: Sequence[str]) -> Iterator[Reference]:
        """Run the references of environments meanwhile, in processes of their own, one for each model."""
        setup, limits = self.setup, self.setup.campaign.limits
        seconds = limits.build_seconds + limits.time_floor * setup.image_count
        wanted = dict.fromkeys(setup.yardstick(name) for name in environments if name in setup.imported)
        if wanted and setup.source is not None:
            wanted[setup.source] = None
        with contextlib.ExitStack() as stack:
            answers = {
                name: stack.enter_context(isolated(functools.partial(setup.run_framework, name), seconds))
                for name in wanted
            }
            yield lambda environment: answers[setup.yardstick(environment)]()

    def _pass_gate(self, missing: Sequence[str], reference: Reference) -> None:
        found = {name: self._measure(name, reference) for name in missing}
        self.store.set_meta("failures", self.run.failures | self.setup.failures)
        red = [problem for name, told in found.items() if not self.setup.may_fail(name) for problem in told]
        if red:
            raise BaselineError(f"the original fails the baseline gate: {'; '.join(red)}")
        for name in missing:  # oracles that notice an original itself are refused before any mutant runs
            if not found[name]:
                self.setup.judge(self.run, name)

    def _compiled(self, environment: str) -> bool:
        """Tell whether an environment has a compiled original that passed the gate."""
        return environment in self.setup.toolchains and not self._needs_baseline(environment)

    def _needs_baseline(self, environment: str) -> bool:
        baseline = self.run.baselines.get(environment)
        return baseline is None or bool(baseline.problems)

    def _measure(self, environment: str, reference: Reference) -> list[str]:
        """Run the original and judge it; return what is wrong with it."""
        setup = self.setup
        if environment not in (setup.toolchains if environment in setup.backends else setup.imported):
            return [setup.failures[environment]]
        plugin = setup.backends.get(environment, setup.imported[environment].frontend)
        with calling(plugin, "its device" if environment in setup.backends else "reference"):
            try:
                measured = self._measured(environment)
                setup.tell(f"comparing {environment} with the reference")
            except (BuildError, InfrastructureError, KernelError) as error:
                if setup.may_fail(environment):
                    setup.failures[environment] = f"the original cannot be built and run: {error}"
                return [f"environment {environment!r}: the original cannot be built and run: {error}"]
        expected = self._answer(reference, environment)
        of_variant = setup.source is not None and setup.environment(environment).model is not None
        source = self._answer(reference, str(setup.source)) if of_variant else None
        baseline = take_original(setup, self.store, environment, measured, expected, source=source)
        return [f"environment {environment!r}: {problem}" for problem in baseline.problems]

    def _answer(self, reference: Reference, environment: str) -> NDArray[np.float32]:
        """Wait for the reference's outputs; raises PluginError where a plugin's framework gives none."""
        frontend = self.setup.imported[environment].frontend
        try:
            return reference(environment)
        except InfrastructureError as error:
            kind = InfrastructureError if is_built_in(type(frontend)) else PluginError
            raise kind(
                f"{named(frontend)}: reference gave nothing: {error}; it has limits.build_seconds, and "
                "limits.time_floor for each image"
            ) from error

    def _measured(self, environment: str) -> gate.BaselineOutputs:
        setup = self.setup
        images = counted(setup.image_count, "image")
        if environment in setup.backends:
            toolchain = setup.toolchains[environment]
            kernels = counted(len(toolchain.program.kernels), "kernel")
            setup.tell(f"compiling {kernels} for {environment}, running the original on {images}")
            return gate.measure(toolchain.backend, toolchain.program, setup.inputs[environment])
        imported = setup.imported[environment]
        setup.tell(f"running the original on {images} in {environment}")
        return gate.measure_reference(imported.frontend, imported.model, setup.inputs[environment])


@attrs.define(eq=False)
class Trials:
    """The mutants of one environment, run here: what is not done, as long as the campaign asks for more."""

    session: Session
    toolchain: Toolchain
    book: TrialBook
    mutants: list[str]
    _planned: dict[str, Mutant] = attrs.field(init=False)
    _verdicts: int = attrs.field(init=False, default=0)
    _next_look: int = attrs.field(init=False, default=0)

    @_planned.default
    def _wanted(self) -> dict[str, Mutant]:
        wanted = set(self.mutants)
        return {mutant.id: mutant for mutant in self.book.store.mutants() if mutant.id in wanted}

    def execute(self) -> None:
        """Bring every mutant to a verdict."""
        book = self.book
        executor = self.session.setup.executor(book.environment)
        for shard, images in enumerate(book.shards):
            waiting = [] if self._enough() else self._waiting(shard)
            if waiting:
                self.session.setup.tell(f"keeping the original's values in {book.environment}")
            job = self._job(images)
            with _ending(observations(executor, job, waiting) if waiting else iter(())) as stream:
                for seen in stream:
                    book.take(seen, shard)
                    book.conclude([seen.mutant])
                    if self._enough():
                        break
        judged = book.store.tallies.statuses(book.environment)  # a run may be killed before a verdict is kept
        book.conclude(name for name in self.mutants if name not in judged)

    def _waiting(self, shard: int) -> list[str]:
        """Return what is to run, in random order: what has run tells of all, and of how long they take.

        An order that a plugin has chosen is kept, unless a sample is to tell when to stop.
        """
        waiting, campaign = self.book.pending(self.mutants, shard), self.session.setup.campaign
        if campaign.stop or self.book.store.meta("order") != GIVEN:
            random.Random(campaign.seed).shuffle(waiting)  # noqa: S311  # no secret
        return waiting

    def _enough(self) -> bool:
        """Tell whether the score is known as well as the campaign asks."""
        stop = self.session.setup.campaign.stop
        if stop is None or not self._due():
            return False
        interval = self.book.run.interval(self.book.environment, stop.confidence)
        return interval is not None and interval.narrow_enough(stop.width)

    def _due(self) -> bool:
        """Tell whether to look again: after a twentieth more verdicts."""
        self._verdicts += 1
        if self._verdicts < self._next_look:
            return False
        self._next_look = self._verdicts + self._verdicts // 20
        return True

    def _job(self, images: slice) -> Job:
        setup, book = self.session.setup, self.book
        return Job(
            backend=self.toolchain.backend,
            original=self.toolchain.program,
            images=setup.inputs[book.environment][images],
            derive=self._derive,
            expected=np.asarray(book.judge.original.values[images], np.float32),
            noise=book.run.baselines[book.environment].noise,
            limits=setup.campaign.limits,
            workers=self.session.workers,
            reuse=self.session.reuse,
        )

    def _derive(self, name: str) -> Program:
        mutant, book = self._planned[name], self.book
        return derive_recorded(mutant, book.setup, book.store.directory, book.environment)


@contextlib.contextmanager
def _ending(observations: Iterator[Observation]) -> Iterator[Iterator[Observation]]:
    """End the executor's work with the block, not when the garbage is collected: it has processes to stop."""
    try:
        yield observations
    finally:
        if isinstance(observations, Generator):
            observations.close()
