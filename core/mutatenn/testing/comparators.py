"""Checks what an oracle promises, on random scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mutatenn.api.values import Scores
from mutatenn.testing.promises import check_class, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.api.comparator import Comparator

SHAPES = ((6, 10), (3, 1), (0, 10))
"""Shapes ``[images, classes]`` that a comparator must cope with."""
ROUNDING = 1e-9


def check_comparator(cls: type[Comparator]) -> None:
    """Check an oracle with its default options, on random scores of both kinds and several shapes.

    It returns one float64 per image, judges each image by itself and always the same, leaves its arguments
    alone, measures nothing worse than an unchanged output and does not notice that, and measures NaN for
    exactly those images whose candidate is not finite.
    """
    check_class("comparator", cls)
    kinds: tuple[Literal["probabilities", "logits"], ...] = ("probabilities", "logits")
    for kind in kinds:
        for shape in SHAPES:
            title = f"{cls.name} on {kind} {list(shape)}"
            original, candidate = (_scores(kind, shape, seed) for seed in (1, 2))
            _check_measure(cls(), original, candidate, title)
            _check_identity(cls(), original, candidate, title)
            _check_damage(cls(), original, candidate, title)


def _scores(kind: Literal["probabilities", "logits"], shape: tuple[int, int], seed: int) -> Scores:
    logits = Scores(np.random.default_rng(seed).normal(size=shape).astype(np.float32), "logits")
    return logits if kind == "logits" else Scores(logits.probabilities().astype(np.float32), kind)


def _check_measure(comparator: Comparator, original: Scores, candidate: Scores, title: str) -> None:
    copies = original.values.copy(), candidate.values.copy()
    values = comparator.measure(original, candidate)
    require(values.dtype == np.float64, f"{title}: measures are float64, not {values.dtype}")
    require(values.shape == original.values.shape[:1], f"{title}: one measure per image, not {values.shape}")
    require(np.array_equal(values, comparator.measure(original, candidate)), f"{title}: always the same")
    unchanged = np.array_equal(copies[0], original.values) and np.array_equal(copies[1], candidate.values)
    require(unchanged, f"{title}: the arguments are not modified")
    alone = [comparator.measure(_row(original, row), _row(candidate, row)) for row in range(len(values))]
    each = np.concatenate([np.zeros(0), *alone])
    require(
        np.allclose(values, each, rtol=ROUNDING), f"{title}: an image's measure does not depend on others"
    )


def _row(scores: Scores, row: int) -> Scores:
    return Scores(scores.values[row : row + 1], scores.kind)


def _check_identity(comparator: Comparator, original: Scores, candidate: Scores, title: str) -> None:
    best = comparator.measure(original, original)
    require(bool(np.isfinite(best).all()), f"{title}: an unchanged output has a finite measure")
    require(not comparator.noticed(best).any(), f"{title}: an unchanged output is not noticed")
    gap = comparator.measure(original, candidate) - best
    badness = gap if comparator.worse == "higher" else -gap
    require(bool((badness >= -ROUNDING).all()), f"{title}: nothing measures better than an unchanged output")


def _check_damage(comparator: Comparator, original: Scores, candidate: Scores, title: str) -> None:
    expected = comparator.measure(original, candidate)
    for bad in (np.nan, np.inf, -np.inf):
        values: NDArray[Any] = candidate.values.copy()
        values[:1, :1] = bad
        expected[:1] = np.nan
        found = comparator.measure(original, Scores(values, candidate.kind))
        require(
            np.array_equal(found, expected, equal_nan=True), f"{title}: {bad} measures NaN, in its row only"
        )
