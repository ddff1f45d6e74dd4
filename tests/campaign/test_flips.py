"""Images whose labels differ: which, how sure, and whether it is for the better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn import Run, Scores
from mutatenn.analysis.environments.flips import Flip, Flips, flips
from mutatenn.results.store import Store
from mutatenn.testing import made_run

IMAGES = ("a", "b", "c", "d", "e", "f")


def scores(*rows: list[float]) -> Scores:
    return Scores(np.array(rows, np.float32))


def test_every_way_to_flip() -> None:
    one = scores([0.6, 0.4, 0], [0.3, 0.7, 0], [0.5, 0.2, 0.3], [0.9, 0.1, 0], [np.nan, 0, 0], [1, 0, 0])
    other = scores([0.4, 0.6, 0], [0.8, 0.2, 0], [0.1, 0.2, 0.7], [0.8, 0.2, 0], [1, 0, 0], [0, 1, 0])
    found = flips(("x", "y"), one, other, IMAGES, (0, 0, 1, 0, 0, None))
    assert (found.first, found.second, found.lost, found.won) == ("x", "y", 1, 2)
    kinds = {each.image: (each.kind, each.first, each.second) for each in found.images}
    assert kinds == {
        "f": ("other", 0, 1),
        "b": ("won", 1, 0),
        "a": ("lost", 0, 1),
        "c": ("other", 0, 2),
        "e": ("won", None, 0),
    }
    assert [each.image for each in found.images] == ["f", "b", "a", "c", "e"], "the surest in both first"
    assert found.images[1] == Flip("b", 0, 1, 0, float(np.float32(0.7)), float(np.float32(0.8)))


def test_confidences_of_logits_are_probabilities() -> None:
    one = Scores(np.array([[2.0, 0.0]]), "logits")
    found = flips(("x", "y"), one, Scores(np.array([[0.0, 1.0]]), "logits"), ("a",), (None,))
    (flip,) = found.images
    assert flip.first_confidence == pytest.approx(np.exp(2) / (np.exp(2) + 1))


def test_nothing_differs() -> None:
    one = scores([0.6, 0.4])
    assert flips(("x", "y"), one, one, ("a",), (0,)) == Flips("x", "y", ())


def test_dissimilarity_of_a_run(make_outputs: Any) -> None:
    run: Run = make_outputs({"a": [0, 1, 2, 3], "b": [0, 1, 2, 0], "c": [1, 1, 0, 0]})
    found = mutatenn.compare([run], oracles={})
    np.testing.assert_array_equal(found.dissimilarity(), [[0, 25, 75], [25, 0, 50], [75, 50, 0]])
    assert found.truth == (0, 1, 2, 3)
    pairs = {(each.first, each.second): (each.lost, each.won) for each in found.flips()}
    assert pairs == {("a", "b"): (1, 0), ("a", "c"): (3, 0), ("b", "c"): (2, 0)}


@pytest.fixture
def make_outputs(tmp_path: Path) -> Iterator[Callable[[dict[str, list[int]]], Run]]:
    """Return what makes a run of originals with these labels."""
    made: list[Run] = []

    def make(labels: dict[str, list[int]]) -> Run:
        number = len(next(iter(labels.values())))
        run = made_run(tmp_path / "run", {name: {} for name in labels}, images=number)
        store = Store.open(run.directory, write=True)
        for name, found in labels.items():
            store.set_baseline(run.baselines[name], np.eye(10, dtype=np.float32)[found])
        store.close()
        made.append(mutatenn.open_run(run.directory))
        return made[-1]

    yield make
    for run in made:
        run._store.close()
