"""The Kendall oracle: in how many pairs of classes two rankings agree."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._options import positive_integer
from mutatenn_comparators._rows import finite_rows, in_top_k

Rows = NDArray[np.floating[Any]]


@attrs.frozen(kw_only=True)
class KendallTau(Comparator):
    """Kendall's tau-b of the two rankings of all classes, from -1 (reversed) to 1 (the same).

    Pairs of classes ranked alike less pairs ranked the other way round, over the geometric mean of
    the pairs each ranking tells apart (Kendall, "The treatment of ties in ranking problems",
    Biometrika 33, 1945). Lower is worse. It is computed from the scores, so equal scores are ties
    and not ranked by index. Scores that are all equal rank nothing: tau is then 1.0 where this
    holds of both sides (also where there is one class only) and 0.0 where it holds of one.

    ``k`` restricts the ranking to the classes in the top k of either side (there, and only there,
    ties are broken by the lower index); None takes all.

    The threshold 0.999 notices a swap of two neighbours among up to 63 classes, and forgives 250 of
    the 500500 pairs of 1001 classes: of so many some have scores so close that float32 sums taken
    in another order swap them (some two pairs, in a deep network).
    """

    name: ClassVar[str] = "kendall-tau"
    worse: ClassVar[Literal["higher", "lower"]] = "lower"
    threshold: float = 0.999
    k: int | None = attrs.field(default=None, validator=attrs.validators.optional(positive_integer))

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return tau-b per image."""
        if self.k is None:
            return _tau_b(original.values, candidate.values)
        ranked = in_top_k(original, self.k) | in_top_k(candidate, self.k)
        ours, theirs = (np.where(ranked, s.values, -np.inf) for s in (original, candidate))
        count = ranked.sum(axis=1)
        return _tau_b(ours, theirs, bystanders=count * (ranked.shape[1] - count))


def _tau_b(x: Rows, y: Rows, bystanders: NDArray[np.int64] | int = 0) -> NDArray[np.float64]:
    """Return tau-b of each row of ``x`` and ``y``, from exact counts, so that equals give 1.0.

    ``bystanders`` counts per row the pairs to leave out, which must be ranked alike by both.
    """
    order = np.lexsort((y, x), axis=1)
    x, y = np.take_along_axis(x, order, axis=1), np.take_along_axis(y, order, axis=1)
    new_x, new_y = _changes(x), _changes(y)
    pairs = x.shape[1] * (x.shape[1] - 1) // 2
    apart_x = pairs - _pairs_within_runs(new_x) - bystanders
    apart_y = pairs - _pairs_within_runs(_changes(np.sort(y, axis=1))) - bystanders
    apart_in_either = pairs - _pairs_within_runs(new_x | new_y) - bystanders
    apart_in_both = apart_x + apart_y - apart_in_either
    balance = apart_in_both - 2 * _inversions(y)
    mean = np.sqrt(apart_x.astype(np.float64) * apart_y)
    both_constant = (apart_x == 0) & (apart_y == 0)
    tau: NDArray[np.float64] = np.where(mean > 0, balance / np.maximum(mean, 1), both_constant)
    return tau


def _changes(rows: Rows) -> NDArray[np.bool_]:
    """Return where a value differs from the one before it in its row."""
    changes = np.zeros(rows.shape, dtype=np.bool_)
    changes[:, 1:] = rows[:, 1:] != rows[:, :-1]
    return changes


def _pairs_within_runs(starts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return per row how many pairs lie in one run, given where the runs start."""
    index = np.arange(starts.shape[1])
    start = np.maximum.accumulate(np.where(starts, index, 0), axis=1)
    count: NDArray[np.int64] = (index - start).sum(axis=1)
    return count


def _inversions(rows: Rows) -> NDArray[np.int64]:
    """Return per row how many pairs stand the larger before the smaller, by merge sort.

    All rows are merged at once: halves of ``width`` sorted values become sorted blocks of twice
    that. A value of the right half that ends up at ``place`` has passed those of the left half that
    are larger, which is ``width`` less those that stayed before it.
    """
    images, classes = rows.shape
    size = 1 << (classes - 1).bit_length()
    blocks = np.pad(rows, ((0, 0), (0, size - classes)), constant_values=np.inf)
    count = np.zeros(images, dtype=np.int64)
    width = 1
    while width < size:
        blocks = blocks.reshape(images, size // (2 * width), 2 * width)
        order = np.argsort(blocks, axis=2, kind="stable")
        places = ((order >= width) * np.arange(2 * width)).sum(axis=(1, 2))
        places_if_nothing_passed = size // (2 * width) * np.arange(width, 2 * width).sum()
        count += places_if_nothing_passed - places
        blocks = np.take_along_axis(blocks, order, axis=2)
        width *= 2
    return count


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``kendall-tau``."""
    return [KendallTau]
