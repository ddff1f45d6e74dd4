"""What is different since an earlier run."""

from __future__ import annotations

from pathlib import Path

import attrs

from mutatenn import Delta, Status
from mutatenn.testing import made_run

KILLED = {"status": "killed", "by": ("top-1",), "images": 10, "killed": 1, "infected": 9}
ENDS = ("killed", "survived", "never-infected", "crashed", "timed-out", "equivalent", "build-error")


def test_every_pair_of_ends() -> None:
    noticed, missed = {"killed", "crashed", "timed-out"}, {"survived", "never-infected"}
    pairs = {f"{one}/{other}": (Status(one), Status(other)) for one in ENDS for other in ENDS}
    before = {name: one for name, (one, _) in pairs.items()}
    after = {name: other for name, (_, other) in pairs.items()}
    delta = Delta.between(before, [*before], after, [*after])
    assert set(delta.surviving) == {f"{one}/{other}" for one in noticed for other in missed}
    assert set(delta.noticed) == {f"{one}/{other}" for one in missed for other in noticed}
    assert (delta.added, delta.gone) == ((), ())


def test_plans_that_differ() -> None:
    delta = Delta.between({"a": Status.KILLED}, ["a", "b"], {"c": Status.SURVIVED}, ["b", "c"])
    assert delta == Delta((), (), ("c",), ("a",))


def test_of_a_run(tmp_path: Path) -> None:
    survived = {"status": "survived", "images": 10, "infected": 6}
    earlier = made_run(tmp_path / "a", {"cpu": {"lt-to-le.x.0.1": KILLED, "lt-to-le.x.1.1": survived}})
    now = made_run(
        tmp_path / "b",
        {
            "cpu": {"lt-to-le.x.0.1": survived, "lt-to-le.x.1.1": KILLED, "lt-to-le.x.2.1": None},
            "gpu": {"lt-to-le.x.0.1": survived},
        },
    )
    assert now.since("cpu") is None
    run = attrs.evolve(now, against=earlier)
    assert run.since("cpu") == Delta(("lt-to-le.x.0.1",), ("lt-to-le.x.1.1",), ("lt-to-le.x.2.1",), ())
    assert run.since("gpu") is None, "the earlier run has no such environment"
