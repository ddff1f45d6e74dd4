"""Where the mutants of a job are tried: what every executor schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from mutatenn.engine.forked_crew import ForkedCrew
from mutatenn.engine.worker_crew import WorkerCrew
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from mutatenn.api.executor import Job, Observation


class Crew(Protocol):
    """Processes that try mutants: forked for each, or ones that keep a device open."""

    @property
    def busy(self) -> bool:
        """Whether a mutant waits or is being tried."""

    def enlist(self, mutants: Iterable[str]) -> None:
        """Have mutants tried when there is place."""

    def fill(self) -> None:
        """Begin to try as many mutants as there is place for."""

    def follow(self) -> list[Observation]:
        """Follow the trials for a moment; return what was seen of mutants that are done."""

    def disband(self) -> None:
        """End all processes."""


@attrs.define(eq=False)
class Workbench:
    """Tries mutants of one job, each in a process of its own, within the job's limits.

    What is seen of a mutant counts: that it ran is proven, an end in doubt has shown twice, and a failure of
    the machinery is told as one. A mutant whose program has been tried here is a duplicate of that. Open it
    as a context; leaving it ends all processes.
    """

    job: Job
    _crew: Crew

    @classmethod
    def open(cls, job: Job) -> Workbench:
        """Return the workbench that suits the job's backend: :meth:`forking`, or else :meth:`working`."""
        return cls.forking(job) if job.backend.shares_fork else cls.working(job)

    @classmethod
    def forking(cls, job: Job) -> Workbench:
        """Run the original in this process, on every image, and try each mutant in a fork of it.

        Raises InputError for a backend whose devices no fork shares, and InfrastructureError if the original
        does not repeat the expected outputs within the noise.
        """
        if not job.backend.shares_fork:
            raise InputError(
                f"devices of backend {job.backend.name!r} cannot be used by forked processes; "
                "set execution.executor to 'worker', or leave it out"
            )
        return cls(job, ForkedCrew.of(job))

    @classmethod
    def working(cls, job: Job) -> Workbench:
        """Open devices in processes of their own, when they are needed; each tries mutants one by one.

        To try a mutant raises InfrastructureError if no device can be opened, or none runs the original.
        """
        return cls(job, WorkerCrew(job))

    def attempt(self, mutant: str) -> Observation:
        """Return what is seen of a mutant."""
        (seen,) = self.attempts([mutant])
        return seen

    def attempts(self, mutants: Iterable[str]) -> Iterator[Observation]:
        """Yield what is seen of each mutant as it ends, ``job.workers`` of them tried at a time."""
        crew = self._crew
        crew.enlist(mutants)
        crew.fill()
        while crew.busy:
            seen = crew.follow()
            crew.fill()  # first: the consumer may take its time over what was seen
            yield from seen

    def close(self) -> None:
        """End all processes."""
        self._crew.disband()

    def __enter__(self) -> Workbench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
