"""The executor ``worker``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.api.executor import Executor, Job, Observation
from mutatenn.engine.workbench import Workbench
from mutatenn.host.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Worker(Executor):
    """Keeps devices open in processes of their own, which run one mutant after another."""

    name = "worker"

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        """Yield an observation per mutant as each ends; see :meth:`Workbench.working`."""
        with Workbench.working(job) as bench:
            yield from bench.attempts(mutants)


@hookimpl
def mutatenn_executors() -> list[type[Executor]]:
    """Contribute the executor."""
    return [Worker]
