"""What every built-in comparator promises, whatever it measures."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import mutatenn_comparators
from mutatenn import Comparator, Scores

Rows = NDArray[np.floating[Any]]

MODULES = [
    f"mutatenn_comparators.{module.name}"
    for module in pkgutil.iter_modules(mutatenn_comparators.__path__)
    if not module.name.startswith("_")
]
COMPARATORS: list[Comparator] = [
    comparator()
    for module in MODULES
    for comparator in importlib.import_module(module).mutatenn_comparators()
]

BOUNDS = {
    "top-1": (0.0, 1.0),
    "top-k-jaccard": (0.0, 1.0),
    "kendall-tau": (-1.0, 1.0),
    "rbo": (0.0, 1.0),
    "levenshtein": (0.0, 5.0),
    "cosine": (-1.0, 1.0),
    "euclidean": (0.0, np.inf),
    "manhattan": (0.0, np.inf),
    "minkowski": (0.0, np.inf),
    "max-abs": (0.0, np.inf),
    "max-rel": (0.0, np.inf),
    "ulp": (0.0, np.inf),
    "kl": (0.0, np.inf),
}
NOT_SYMMETRIC = {"max-rel", "kl"}

every_comparator = pytest.mark.parametrize(
    "comparator", COMPARATORS, ids=[comparator.name for comparator in COMPARATORS]
)

shapes = st.tuples(st.integers(1, 5), st.integers(1, 9))
# Few distinct values, so that ties are common; or any probability.
elements = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Rows, Rows]:
    arrays = hnp.arrays(np.float32, draw(shapes), elements=elements)
    first = draw(arrays)
    return first, draw(hnp.arrays(np.float32, first.shape, elements=elements))


def measure(comparator: Comparator, original: Rows, candidate: Rows) -> NDArray[np.float64]:
    return comparator.measure(Scores(original), Scores(candidate))


def test_all_of_them_are_contributed() -> None:
    assert sorted(comparator.name for comparator in COMPARATORS) == sorted(BOUNDS)


@pytest.mark.parametrize("module", MODULES)
def test_the_hook_is_marked(module: str) -> None:
    assert hasattr(importlib.import_module(module).mutatenn_comparators, "mutatenn_impl")


def test_importing_them_does_not_import_scipy() -> None:
    program = f"import sys, {', '.join(MODULES)}; sys.exit('scipy' in sys.modules)"
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=path, check=True)


@every_comparator
def test_the_docstring_starts_with_a_summary(comparator: Comparator) -> None:
    assert comparator.summary().endswith(".")


@every_comparator
@pytest.mark.parametrize("kind", ["probabilities", "logits"])
@given(pair=pairs())
def test_equal_scores_measure_the_best_value(
    comparator: Comparator, kind: Literal["probabilities", "logits"], pair: tuple[Rows, Rows]
) -> None:
    values = pair[0] if kind == "probabilities" else 30 * pair[0] - 15
    result = comparator.measure(Scores(values, kind), Scores(values.copy(), kind))
    best = 1.0 if comparator.worse == "lower" else 0.0
    np.testing.assert_array_equal(result, np.full(len(values), best))
    assert not comparator.noticed(result).any()


@every_comparator
@given(pair=pairs())
def test_it_measures_one_float64_per_image_within_bounds(
    comparator: Comparator, pair: tuple[Rows, Rows]
) -> None:
    result = measure(comparator, *pair)
    low, high = BOUNDS[comparator.name]
    assert result.shape == pair[0].shape[:1]
    assert result.dtype == np.float64
    assert ((result >= low) & (result <= high)).all()


@every_comparator
@given(pair=pairs())
def test_images_do_not_influence_each_other(comparator: Comparator, pair: tuple[Rows, Rows]) -> None:
    alone = [measure(comparator, a[np.newaxis], b[np.newaxis]) for a, b in zip(*pair, strict=True)]
    np.testing.assert_array_equal(measure(comparator, *pair), np.concatenate(alone))


@pytest.mark.parametrize(
    "comparator", [c for c in COMPARATORS if c.name not in NOT_SYMMETRIC], ids=lambda c: c.name
)
@given(pair=pairs())
def test_it_is_symmetric(comparator: Comparator, pair: tuple[Rows, Rows]) -> None:
    original, candidate = pair
    forth, back = measure(comparator, original, candidate), measure(comparator, candidate, original)
    np.testing.assert_array_equal(forth, back)


@every_comparator
@given(pair=pairs(), data=st.data())
def test_images_with_values_that_are_not_finite_measure_nan(
    comparator: Comparator, pair: tuple[Rows, Rows], data: st.DataObject
) -> None:
    original, candidate = pair
    whole = measure(comparator, original, candidate)
    broken = data.draw(hnp.arrays(np.bool_, candidate.shape[0]))
    column = data.draw(st.integers(0, candidate.shape[1] - 1))
    candidate[broken, column] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    result = measure(comparator, original, candidate)
    np.testing.assert_array_equal(result, np.where(broken, np.nan, whole))
    assert comparator.noticed(result)[broken].all()


@every_comparator
def test_no_images_measure_nothing(comparator: Comparator) -> None:
    none = np.empty((0, 7), dtype=np.float32)
    result = measure(comparator, none, none)
    assert result.shape == (0,)
    assert result.dtype == np.float64


@every_comparator
def test_a_reversed_ranking_is_noticed(comparator: Comparator) -> None:
    scores = np.array([[0.4, 0.3, 0.15, 0.1, 0.04, 0.01]], dtype=np.float32)
    assert comparator.noticed(measure(comparator, scores, scores[:, ::-1])).all()


@every_comparator
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_the_candidate_may_have_another_dtype(comparator: Comparator, dtype: Any) -> None:
    scores = np.array([[0.5, 0.25, 0.125, 0.125]], dtype=np.float32)
    result = measure(comparator, scores, scores.astype(dtype))
    assert not comparator.noticed(result).any()


@every_comparator
def test_inputs_are_left_alone(comparator: Comparator) -> None:
    original = np.array([[0.5, 0.3, 0.2]])
    candidate = np.array([[0.2, 0.3, 0.5]])
    measure(comparator, original, candidate)
    assert original.tolist() == [[0.5, 0.3, 0.2]]
    assert candidate.tolist() == [[0.2, 0.3, 0.5]]


@every_comparator
def test_the_largest_finite_values_neither_warn_nor_pass(comparator: Comparator) -> None:
    largest = np.finfo(np.float64).max
    original = np.array([[-largest, 0.0, 0.0, 0.0, 0.0, largest]])
    result = comparator.measure(Scores(original, "logits"), Scores(-original, "logits"))
    assert comparator.noticed(result).all()


@every_comparator
def test_a_thousand_classes(comparator: Comparator) -> None:
    rng = np.random.default_rng(0)
    original = rng.dirichlet(np.full(1001, 0.1), size=20).astype(np.float32)
    rounding = rng.uniform(-1e-6, 1e-6, original.shape)
    result = measure(comparator, original, original * (1 + rounding))
    assert not comparator.noticed(result).any()
    assert comparator.noticed(measure(comparator, original, original[::-1])).all()
