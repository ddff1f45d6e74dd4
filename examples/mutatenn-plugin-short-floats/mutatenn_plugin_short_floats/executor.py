"""An executor for machines that fail now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mutatenn import Executor, Job, Observation, Workbench, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@attrs.frozen(kw_only=True)
class Patient(Executor):
    """Tries again, in the end, what the machinery failed on.

    Up to ``retries`` times.
    """

    name = "patient"
    retries: int = attrs.field(default=1, validator=attrs.validators.ge(0))

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        """Yield an observation per mutant, those of failures in the end."""
        with Workbench.open(job) as bench:
            for left in range(self.retries, -1, -1):
                failed = []
                for seen in bench.attempts(mutants):
                    if left and seen.outcome == "infrastructure-error":
                        failed.append(seen.mutant)
                    else:
                        yield seen
                mutants = failed


@hookimpl
def mutatenn_executors() -> list[type[Executor]]:
    """Contribute the executor."""
    return [Patient]
