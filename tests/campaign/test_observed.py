"""An executor observes each mutant once, and soundly, or is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mutatenn import Executor, Observation, PluginError
from mutatenn.campaign.execution.observed import observations

IMAGES, CLASSES = 4, 3


JOB: Any = SimpleNamespace(images=np.zeros((IMAGES, 1)), expected=np.zeros((IMAGES, CLASSES), np.float32))


def seen(mutant: Any = "a", **changes: Any) -> Observation:
    sound = {"executed": 1, "infected": np.zeros(IMAGES, bool), "seconds": {"total": 1.0}}
    return Observation(**{"mutant": mutant, "outcome": "ran", **sound, **changes})


def observe(*found: Any) -> list[Observation]:
    """Return what comes of an executor that gives this for the mutants a and b."""

    class Given(Executor):
        """Made for a test."""

        name = "given"

        def run(self, job: Any, mutants: Any) -> Iterator[Observation]:
            del job, mutants
            for each in found:
                yield each() if callable(each) else each

    return list(observations(Given(), JOB, ["a", "b"]))


def test_sound_ones_pass() -> None:
    rows = {"rows": np.array([2]), "outputs": np.ones((1, CLASSES), np.float32)}
    both = [seen("b", **rows), seen(outcome="duplicate", message="b")]
    assert observe(*both) == both


def leave() -> None:
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "no observation of 2 mutants, a"),
        ([seen()], "no observation of 1 mutants, b"),
        ([seen(), seen()], "mutant 'a' was observed twice"),
        ([seen("../../outside")], "mutant '../../outside' was not asked for"),
        ([None], "must return observations of mutants, not"),
        ([seen(7)], "must return observations of mutants, not a value of type Observation"),
        ([leave], "run raised SystemExit: 0"),
        ([seen(outcome="excellent")], "outcome cannot be 'excellent'"),
        ([seen(outcome=["ran"])], "outcome cannot be a value of type list"),
        ([seen(outcome="duplicate", message="b")], "'b' has not run, so it cannot be a duplicate of that"),
        ([seen(message=b"x")], "message cannot be b'x'"),
        ([seen(signal="SEGV")], "signal cannot be 'SEGV'"),
        ([seen(executed=-1)], "executed cannot be -1"),
        ([seen(kernels="abc")], "kernels cannot be 'abc'"),
        ([seen(masked={"k": "1"})], "masked cannot be"),
        ([seen(seconds={"total": float("nan")})], "seconds cannot be"),
        ([seen(memory=b"leaves")], "memory cannot be b'leaves'"),
        ([seen(signal=999)], "signal cannot be 999"),
        ([seen(again=seen(infected=np.zeros(3, bool)))], "its arrays do not fit"),
        ([seen(again="again")], "its arrays do not fit"),
        ([seen(infected=np.zeros(3, bool))], "its arrays do not fit"),
        ([seen(infected=[True])], "its arrays do not fit"),
        ([seen(rows=np.array([4]), outputs=np.zeros((1, CLASSES), np.float32))], "its arrays do not fit"),
        ([seen(rows=np.array([0]), outputs=np.zeros((1, 2), np.float32))], "its arrays do not fit"),
        ([seen(rows=np.array([0, 0]), outputs=np.zeros((2, CLASSES), np.float32))], "its arrays do not fit"),
        ([seen(rows=np.array([1, 0]), outputs=np.zeros((2, CLASSES), np.float32))], "its arrays do not fit"),
        ([seen(rows=np.array([0]), outputs=np.zeros((1, CLASSES)))], "its arrays do not fit"),
        ([seen(rows=np.array([0]), outputs=np.full((1, CLASSES), "x"))], "its arrays do not fit"),
    ],
)
def test_others_are_refused(found: list[Any | Callable[[], Any]], message: str) -> None:
    with pytest.raises(PluginError, match=r"^executor 'given' of ") as caught:
        observe(*found)
    assert message in str(caught.value)


def test_it_is_closed_when_nobody_wants_more() -> None:
    closed = []

    class Endless(Executor):
        """Made for a test."""

        name = "endless"

        def run(self, job: Any, mutants: Any) -> Iterator[Observation]:
            try:
                for mutant in mutants:
                    yield seen(mutant)
            finally:
                closed.append(True)

    stream = observations(Endless(), JOB, ["a", "b"])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert closed == [True]
