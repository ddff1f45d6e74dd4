"""Progress while a campaign runs: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TextIO

import attrs

from mutatenn import Status, duration
from mutatenn_reporters._text import clean, count, verdict_of_gate

if TYPE_CHECKING:
    from collections.abc import Callable

    import rich.progress
    from rich.console import Console

    from mutatenn import Baseline, Run, Verdict


REFRESH_SECONDS = 0.1
LINE_SECONDS = 30.0
FIRST_SHARE, LINE_SHARE = 0.05, 0.1


@attrs.define(eq=False)
class Tally:
    """How far one environment is.

    ``counted`` is the number of mutants per status, in the order of a listing; ``statuses`` are by mutant,
    for one may get its verdict anew.
    """

    environment: str
    mutants: int
    counted: dict[str, int]
    statuses: dict[str, str] = attrs.field(init=False, factory=dict)

    @classmethod
    def of(cls, run: Run, environment: str) -> Tally:
        """Count what an earlier run has left."""
        order = map(str, run.score(environment).counts)
        tally = cls(environment, len(run.mutants_of(environment)), dict.fromkeys(order, 0))
        for mutant, status in run.statuses(environment).items():
            if status != "infrastructure-error":
                tally.add(mutant, status)
        return tally

    def add(self, mutant: str, status: str) -> None:
        """Count a mutant, in place of an earlier verdict on it."""
        if mutant in self.statuses:
            self.counted[self.statuses[mutant]] -= 1
        self.statuses[mutant] = status
        self.counted[status] += 1

    @property
    def done(self) -> int:
        """How many mutants have a verdict."""
        return len(self.statuses)

    @property
    def left(self) -> int:
        """How many mutants have none yet."""
        return self.mutants - self.done

    def short(self) -> str:
        """Return how many are detected and missed, for a bar beside which there is little room."""
        found = {Status(status): n for status, n in self.counted.items()}
        detected = sum(n for status, n in found.items() if status.detected)
        missed = sum(n for status, n in found.items() if status.valid) - detected
        return f"{detected} detected, {missed} missed"

    def counts(self) -> str:
        """Return the number of mutants per status, leaving out zeros."""
        return ", ".join(f"{n} {status.replace('-', ' ')}" for status, n in self.counted.items() if n)


@attrs.define(eq=False)
class Progress(ABC):
    """Follows a campaign; nothing happens but on its events, for processes are forked in between."""

    tallies: dict[str, Tally] = attrs.field(init=False, factory=dict)

    def start(self, run: Run) -> None:
        """Show what there is to do."""
        self.tallies = {name: Tally.of(run, name) for name in run.environments}
        mutants = sum(tally.mutants for tally in self.tallies.values())
        done = sum(tally.done for tally in self.tallies.values())
        images, where = count(len(run.image_names), "image"), count(len(self.tallies), "environment")
        text = f"{clean(run.name)}: {count(mutants, 'mutant')} on {images} in {where}"
        self.say(f"{text}, {done} of them done before" if done else text)
        for baseline in run.baselines.values():
            if not baseline.problems:
                self.gate(baseline)

    def stage(self, stage: str) -> None:
        """Show what begins."""
        self.say(f"{clean(stage)} ...")

    def gate(self, baseline: Baseline) -> None:
        """Show how the original did."""
        self.say(f"{clean(baseline.environment)}: {verdict_of_gate(baseline)}")

    def advance(self, verdict: Verdict, *, tell: bool = False) -> None:
        """Count a mutant, and say how it ended if wanted."""
        tally = self.tallies[verdict.environment]
        if tell:
            place = f"{clean(verdict.environment)}: " * (len(self.tallies) > 1)
            how = ", ".join([verdict.status, *(["by " + ", ".join(verdict.by)] if verdict.by else [])])
            self.say(f"{place}{clean(verdict.mutant)}: {clean(how)} ({duration(verdict.seconds)})")
        tally.add(verdict.mutant, verdict.status)
        self.show(tally)

    @abstractmethod
    def say(self, line: str) -> None:
        """Show a line that stays."""

    @abstractmethod
    def show(self, tally: Tally) -> None:
        """Show how far an environment is, if it is time to."""

    @abstractmethod
    def stop(self) -> None:
        """Show no more."""


@attrs.define(eq=False)
class Bars(Progress):
    """A bar per environment on a terminal, gone at the end; drawn on events only, by no thread."""

    _console: Console
    _bars: rich.progress.Progress = attrs.field(init=False)
    _tasks: dict[str, rich.progress.TaskID] = attrs.field(init=False, factory=dict)
    _drawn: float = attrs.field(init=False, default=0.0)

    @_bars.default
    def _new_bars(self) -> rich.progress.Progress:
        from rich import progress

        return progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=16),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            progress.TextColumn("{task.fields[counts]}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self, run: Run) -> None:
        """Show what there is to do, and a bar per environment."""
        super().start(run)
        for name, tally in self.tallies.items():
            self._tasks[name] = self._bars.add_task(
                clean(name), total=tally.mutants, completed=tally.done, counts=tally.short(), start=False
            )
        self._bars.start()
        self._console.show_cursor()  # as it must be should the process be killed

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        from rich.text import Text

        self._console.print(Text(line))

    def show(self, tally: Tally) -> None:
        """Draw the bars, at most ten times a second."""
        task = self._tasks[tally.environment]
        self._bars.start_task(task)
        self._bars.update(task, completed=tally.done, counts=tally.short())
        if time.monotonic() - self._drawn >= REFRESH_SECONDS or tally.done == tally.mutants:
            self._bars.refresh()
            self._drawn = time.monotonic()

    def stop(self) -> None:
        """Wipe the bars away."""
        self._bars.stop()


@attrs.define(eq=False)
class Lines(Progress):
    """Plain lines: after a twentieth of an environment's mutants, then per tenth, or per half minute."""

    _stream: TextIO
    _clock: Callable[[], float] = time.monotonic
    _event: float = attrs.field(init=False, default=0.0)
    _written: float = attrs.field(init=False, default=0.0)
    _shown: dict[str, int] = attrs.field(init=False, factory=dict)
    _began: dict[str, tuple[float, int]] = attrs.field(init=False, factory=dict)

    def start(self, run: Run) -> None:
        """Write what there is to do."""
        super().start(run)
        self._shown = {name: tally.done for name, tally in self.tallies.items()}

    def say(self, line: str) -> None:
        """Write a line; nothing stays in a buffer that a forked process would write again."""
        print(line, file=self._stream, flush=True)
        self._event = self._written = self._clock()

    def show(self, tally: Tally) -> None:
        """Write a line if enough has happened since the last."""
        # An environment begins with the event before its first verdict.
        began, before = self._began.setdefault(tally.environment, (self._event, tally.done - 1))
        self._event = now = self._clock()
        fresh = tally.done - self._shown[tally.environment]
        share = LINE_SHARE if self._shown[tally.environment] else FIRST_SHARE
        if fresh >= share * tally.mutants or now - self._written >= LINE_SECONDS or not tally.left:
            seconds = (now - began) / max(1, tally.done - before) * tally.left
            self._line(tally, f"; about {duration(max(1.0, seconds))} left" if tally.left else "")

    def stop(self) -> None:
        """Write how far an interrupted campaign came."""
        for name, tally in self.tallies.items():
            if tally.done != self._shown.get(name, tally.done):  # none if it was interrupted as it began
                self._line(tally, "")

    def _line(self, tally: Tally, more: str) -> None:
        head = f"{clean(tally.environment)}: {tally.done} of {count(tally.mutants, 'mutant')}"
        self.say(f"{head}: {tally.counts()}{more}")
        self._shown[tally.environment] = tally.done


def open_progress(stream: TextIO) -> Progress:
    """Return bars for a terminal, lines for anything else."""
    from rich.console import Console

    console = Console(file=stream, force_jupyter=False)
    return Bars(console) if stream.isatty() and not console.is_dumb_terminal else Lines(stream)
