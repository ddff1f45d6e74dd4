"""An executor that breaks a promise fails the check of executors, which names the promise."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterator, Sequence

import attrs
import pytest

from mutatenn import Executor, InfrastructureError, Job, Observation, Workbench
from mutatenn.testing import check_executor


@attrs.frozen(kw_only=True)
class Plain(Executor):
    """Tries one mutant after another, in an order of its own."""

    name = "plain"
    backwards: bool = True

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        with Workbench.open(job) as bench:
            yield from bench.attempts(mutants[::-1] if self.backwards else mutants)


class Loses(Plain):
    """Says nothing of mutants that crash."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        return (seen for seen in super().run(job, mutants) if seen.outcome != "crashed")


class Twice(Plain):
    """Says everything twice."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        return (seen for each in super().run(job, mutants) for seen in (each, each))


class Short(Plain):
    """Looks at the first image alone."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        return super().run(attrs.evolve(job, images=job.images[:1], expected=job.expected[:1]), mutants)


class Blames(Plain):
    """Takes a crash for a failure of the machinery."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        for seen in super().run(job, mutants):
            yield attrs.evolve(seen, outcome="infrastructure-error") if seen.signal else seen


class Mixes(Plain):
    """Says of every mutant that it is a duplicate of itself."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        for seen in super().run(job, mutants):
            again = seen.mutant == "changes-all"
            yield attrs.evolve(seen, outcome="duplicate", message=seen.mutant) if again else seen


class Stumbles(Plain):
    """Ends with the first mutant that cannot be derived."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        for name in mutants:
            with contextlib.suppress(Exception):
                job.derive(name)
                continue
            raise RuntimeError(f"what is {name}?")
        return super().run(job, mutants)


class Leaves(Plain):
    """Leaves a process when it is closed early."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        other = multiprocessing.get_context("fork").Process(target=time.sleep, args=(2,), daemon=True)
        other.start()
        yield from super().run(job, mutants)
        other.kill()
        other.join()


class Idle(Plain):
    """Runs something in any case."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        return super().run(job, mutants or ["changes-all"])


class Trusting(Plain):
    """Takes a wrong original for a failure of every mutant."""

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        try:
            yield from super().run(job, mutants)
        except InfrastructureError as error:
            yield from (Observation(name, "infrastructure-error", str(error)) for name in mutants)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.slow
def test_an_executor_that_keeps_its_promises(backwards: bool) -> None:
    check_executor(Plain, backwards=backwards)


@pytest.mark.parametrize(
    ("cls", "promise"),
    [
        pytest.param(Loses, "plain, 1 at a time; .*every mutant has one observation", marks=SLOW),
        (Twice, "every mutant has one observation"),
        pytest.param(Short, "the observation of changes-some is that of a workbench; .*executed", marks=SLOW),
        pytest.param(
            Blames, "the observation of crashes is that of a workbench; .*infrastructure-error", marks=SLOW
        ),
        (Mixes, "changes-all names what it is a duplicate of"),
        pytest.param(Stumbles, "RuntimeError: what is is-rejected?", marks=SLOW),
        pytest.param(Leaves, "plain, closed early; .*no process is left", marks=SLOW),
        pytest.param(Idle, "of no mutants, observes none", marks=SLOW),
        pytest.param(
            Trusting, "raises InfrastructureError if the original does not repeat its outputs", marks=SLOW
        ),
        (Executor, "does not define run"),
    ],
)
def test_an_executor_that_breaks_one(cls: type[Executor], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_executor(cls)
