"""The kill matrix and what follows from it, on a real run and on verdicts made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mutatenn.analysis.images.kill_matrix import KillMatrix, kill_matrix
from mutatenn.analysis.images.worth import Survivor, closest_survivors, margin_lost, worth
from mutatenn.api.mutant import Mutant
from mutatenn.api.verdict import Status, Verdict
from mutatenn.results.run import Run
from mutatenn.results.store import Store

MATRICES = hnp.arrays(bool, st.tuples(st.integers(0, 12), st.integers(1, 20)))


def matrix(dense: NDArray[np.bool_]) -> KillMatrix:
    """Return a matrix with images a, b, c... and mutants 0, 1, 2..., killed or survived as it says."""
    statuses: tuple[Status, ...] = tuple(Status.KILLED if row.any() else Status.SURVIVED for row in dense)
    images = tuple(chr(ord("a") + column) for column in range(dense.shape[1]))
    return KillMatrix("cpu", images, tuple(map(str, range(len(dense)))), statuses, np.packbits(dense, axis=1))


@given(MATRICES)
def test_packed_is_the_same_as_dense(dense: NDArray[np.bool_]) -> None:
    found = matrix(dense)
    assert found.dense().dtype == np.bool_
    assert np.array_equal(found.dense(), dense)
    assert np.array_equal(found.kills(), dense.sum(axis=0))
    assert np.array_equal(found.killed(), dense.sum(axis=1))
    assert np.array_equal(found.by_image(), np.packbits(dense.T, axis=1))


def test_more_mutants_than_are_unpacked_at_a_time() -> None:
    dense = np.random.default_rng(0).random((20_001, 11)) < 0.3
    found = matrix(dense)
    assert np.array_equal(found.kills(), dense.sum(axis=0))
    assert np.array_equal(found.by_image(), np.packbits(dense.T, axis=1))


@given(MATRICES)
def test_worth(dense: NDArray[np.bool_]) -> None:
    given_matrix = matrix(dense)
    found, names = worth(given_matrix), given_matrix.images
    assert list(found.kills) == sorted(names, key=lambda name: (-found.kills[name], name))
    assert [found.kills[name] for name in names] == dense.sum(axis=0).tolist()
    assert set(found.idle) == {name for name, kills in found.kills.items() if not kills}
    for name, other in found.dominated.items():
        assert not (dense[:, names.index(name)] & ~dense[:, names.index(other)]).any()
    assert not set(found.dominated) & (set(found.idle) | set(found.dominated.values()) | set(found.needed))
    sole = {str(row): names[int(kills.argmax())] for row, kills in enumerate(dense) if kills.sum() == 1}
    assert found.sole == sole
    assert set(sole.values()) <= set(found.needed)
    assert found.killed == dense.any(axis=1).sum()
    assert found.mutants == len(dense)
    for size, (name, killed) in enumerate(found.needed.items(), 1):
        first = [names.index(each) for each in list(found.needed)[:size]]
        assert names[first[-1]] == name
        assert killed == dense[:, first].any(axis=1).sum()


def test_no_kills() -> None:
    found = worth(matrix(np.zeros((2, 3), bool)))
    assert (found.killed, found.needed, found.sole, found.apart, found.dominated) == (0, {}, {}, {}, {})
    assert found.idle == ("a", "b", "c")
    assert found.cover.minimal


def test_of_a_real_run(finished: Run) -> None:
    found = kill_matrix(finished, "cpu")
    verdicts = [record.verdicts["cpu"] for record in finished.mutants]
    valid = [each for each in verdicts if each.status.valid]
    assert found.mutants == tuple(each.mutant for each in valid)
    assert found.statuses == tuple(each.status for each in valid)
    assert found.images == finished.image_names
    for row, verdict in zip(found.dense(), valid, strict=True):
        assert tuple(np.array(found.images)[row]) == verdict.killed_images
    assert found.dense().any()
    assert worth(found).killed == finished.score("cpu").counts["killed"]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Run]:
    """Return a run with every way to be detected in ``a``, one kill in ``b``, and nothing yet in ``c``."""
    ends: dict[str, tuple[Status, tuple[str, ...]]] = {
        "one": (Status.KILLED, ("y.png",)),
        "crash": (Status.CRASHED, ()),
        "all": (Status.KILLED, ("x.png", "y.png", "z.png")),
        "whole": (Status.KILLED, ()),
        "slow": (Status.TIMED_OUT, ()),
        "same": (Status.EQUIVALENT, ()),
        "alive": (Status.SURVIVED, ()),
        "rejected": (Status.BUILD_ERROR, ()),
        "dead": (Status.NEVER_INFECTED, ()),
        "lost": (Status.INFRASTRUCTURE_ERROR, ()),
        "waiting": (Status.SURVIVED, ()),
    }
    mutants = [Mutant(name, "op", "LN", "graph", "graph", ()) for name in ends]
    store = Store.create(tmp_path)
    images = [(name, None, "") for name in ("x.png", "y.png", "z.png")]
    environments = ["a", "b", "c"]
    plans = {name: (mutants, []) for name in environments}
    store.set_plan(images, plans, identity="by hand", environments=environments, shards=1)
    for name, (status, killed) in reversed(ends.items()):
        if name != "waiting":
            by = ("degenerate",) if name == "whole" else ("top-1",)
            store.set_verdict(Verdict("a", name, status, by=by, killed_images=killed))
    store.set_verdict(Verdict("b", "alive", "killed", killed_images=("z.png",)))
    store.close()
    run = Run.open(tmp_path)
    yield run
    run._store.close()


def test_mutants_are_valid_and_in_the_plan_s_order(made: Run) -> None:
    found = kill_matrix(made, "a")
    assert found.mutants == ("one", "crash", "all", "whole", "slow", "alive", "dead")
    assert found.dense().tolist() == [
        [False, True, False],
        [False] * 3,
        [True] * 3,
        *[[False] * 3] * 4,
    ]
    assert kill_matrix(made, "b").mutants == ("alive",)
    assert kill_matrix(made, "c").dense().shape == (0, 3)


def test_what_no_image_detects_stands_apart(made: Run) -> None:
    found = worth(kill_matrix(made, "a"))
    assert found.apart == {"crash": "crashed", "whole": "killed", "slow": "timed-out"}
    assert found.needed == {"y.png": 2}
    assert found.sole == {"one": "y.png"}
    assert found.dominated == {"x.png": "y.png", "z.png": "y.png"}
    assert (found.killed, found.mutants) == (2, 7)


def test_survivors_are_ranked_by_the_margin_they_took(finished: Run) -> None:
    original = finished.outputs("cpu", None).astype(float)
    found = closest_survivors(finished, "cpu")
    survived = [r.id for r in finished.mutants if r.verdicts["cpu"].status == "survived"]
    assert sorted(each.mutant for each in found) == sorted(survived)
    assert len(found) > 10
    assert found[0].lost > 0.01
    for each in found:
        shares = [
            lost(before, after)
            for before, after in zip(
                original, finished.outputs("cpu", each.mutant).astype(float), strict=True
            )
        ]
        assert each.lost == max(0.0, *shares) < 1
        assert each.image == (finished.image_names[int(np.argmax(shares))] if each.lost else None)
        assert each.labels_changed == 0
    assert [each.lost for each in found] == sorted((each.lost for each in found), reverse=True)


def lost(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Return the share of one image's margin that is gone, by sorting."""
    first, second = np.argsort(-before, kind="stable")[:2]
    margin = before[first] - before[second]
    return float((margin - (after[first] - np.delete(after, first).max())) / margin)


def test_few_survivors_are_examined(finished: Run) -> None:
    every = closest_survivors(finished, "cpu")
    few = closest_survivors(finished, "cpu", examined=3)
    worst = {each.mutant: finished.mutant(each.mutant).verdicts["cpu"].oracles["max-abs"] for each in every}
    changes = {mutant: summary["worst"] or 0.0 for mutant, summary in worst.items()}
    kept = {each.mutant for each in few}
    assert len(few) == 3
    assert [each for each in every if each.mutant in kept] == few
    least = min(changes[name] for name in kept)
    assert all(changes[each.mutant] <= least for each in every if each.mutant not in kept)


def test_no_survivors(made: Run) -> None:
    assert closest_survivors(made, "b") == closest_survivors(made, "c") == []


def test_margins() -> None:
    original = np.array([[0.1, 0.7, 0.2]] * 5 + [[0.5, 0.5, 0.0]] * 2, np.float32)
    values = np.array(
        [
            [0.1, 0.7, 0.2],  # as before
            [0.3, 0.55, 0.15],  # half of it
            [0.5, 0.5, 0.0],  # all
            [0.9, 0.1, 0.0],  # more than there was
            [0.0, 1.0, 0.0],  # a gain
            [0.6, 0.4, 0.0],  # a tie, broken for the original's label
            [0.4, 0.6, 0.0],  # and against it
        ],
        np.float32,
    )
    expected = [0, 0.5, 1, 2.6, -1, 0, 1]
    assert margin_lost(original, values) == pytest.approx(expected, abs=1e-6)


def test_one_class_has_no_margin() -> None:
    assert margin_lost(np.ones((2, 1)), np.zeros((2, 1))).tolist() == [0, 0]


def test_a_survivor_that_changed_no_output_took_nothing(finished: Run) -> None:
    quiet = [each for each in closest_survivors(finished, "cpu") if not each.propagated]
    for each in quiet:
        assert each == Survivor(each.mutant, 0.0, None, 0, 0)
