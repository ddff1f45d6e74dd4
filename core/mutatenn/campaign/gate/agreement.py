"""How far the original's scores are from the reference runtime's, and how far they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mutatenn.api.values import Scores

    Floats = NDArray[np.float64]

# Compiled networks were found up to 20 times as far from onnxruntime as one rounding of the input takes
# onnxruntime from itself: every layer rounds as well.
ROUNDINGS = 64
SMALLEST = 16 * float(np.finfo(np.float32).tiny)  # smaller probabilities lose their relative precision
COARSE = 2.0**-24  # what 1 - p, half precision and quantised outputs are multiples of
STEP_TOLERANCE = 1e-3
EPSILON = float(np.finfo(np.float32).eps)


@attrs.frozen(eq=False)
class Gap:
    """How far two sets of scores are apart, ``[images, classes]``, and how far they may be.

    ``what`` names what is compared; ``spread`` is that of each image's scores, ``[images, 1]``, or None where
    the tolerance is absolute. What is not compared is 0 apart.
    """

    what: str
    apart: Floats
    allowed: Floats
    spread: Floats | None = None

    @property
    def images(self) -> int:
        """On how many images they are too far apart."""
        return int((~(self.apart <= self.allowed)).any(axis=1).sum())

    @property
    def worst(self) -> tuple[int, int]:
        """The image and class where they are the farthest apart, compared with what is allowed."""
        scale = self.allowed if self.images else np.broadcast_to(self._scale, self.apart.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(self.apart > 0, self.apart / scale, 0.0)
        image, label = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        return int(image), int(label)

    def limit(self, tolerance: float) -> str:
        """Say how far apart they may be where they are the farthest."""
        allowed = self.allowed[self.worst]
        width = 1.0 if self.spread is None else float(self.spread[self.worst[0], 0])
        if allowed > tolerance * width:
            return f"the {allowed:.2g} that rounding explains"
        return f"the tolerance {tolerance:g}" + (
            f" of their spread {width:.2g}" if self.spread is not None else ""
        )

    @property
    def _scale(self) -> Any:
        return 1.0 if self.spread is None else self.spread


def gaps(
    values: NDArray[np.floating[Any]],
    reference: Scores,
    tolerance: float,
    nudged: Sequence[NDArray[np.floating[Any]]] = (),
) -> list[Gap]:
    """Compare scores with the reference's, of the same shape, not empty, and finite where those are.

    Logits may be apart by ``tolerance`` times the spread of the image's scores, or, unless the tolerance is
    0, by what many roundings make of them; ``nudged`` is the reference on images one rounding away.
    Probabilities may be apart by ``tolerance``, or so many roundings; and, as errors beside a confident class
    vanish in them, so may their logarithms by the rule for logits.
    """
    if reference.kind == "logits":
        return [_relative("its scores", values, reference.values, tolerance, nudged)]
    allowed = np.full(reference.values.shape, tolerance)
    for each in nudged if tolerance > 0 else ():
        change = _finite(distance(each, reference.values), 0.0).max(axis=1, keepdims=True)
        allowed = np.maximum(allowed, ROUNDINGS * change)
    plain = Gap("its probabilities", distance(values, reference.values), allowed)
    precise = (reference.values >= SMALLEST) & (reference.values % COARSE != 0)
    precise &= not _in_steps(reference.values)
    ours, theirs, *others = (
        np.where(precise, _log(each), np.nan) for each in (values, reference.values, *nudged)
    )
    return [plain, _relative("the logarithms of its probabilities", ours, theirs, tolerance, others)]


def _relative(
    what: str,
    values: NDArray[Any],
    reference: NDArray[Any],
    tolerance: float,
    nudged: Sequence[NDArray[Any]],
) -> Gap:
    width = spread(reference)
    allowed = np.broadcast_to(tolerance * width, reference.shape)
    if tolerance > 0:
        rounding = EPSILON * np.abs(_finite(reference, 0.0))
        for each in nudged:  # where it is not finite, it tells nothing
            change = _finite(distance(each, reference), 0.0)
            rounding = np.maximum(rounding, np.maximum(change, typical(change)))
        allowed = np.maximum(allowed, ROUNDINGS * rounding)
    return Gap(what, distance(values, reference), allowed, width)


def distance(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    """Return how far finite numbers are apart; equal infinities, and what is NaN on both sides, are not."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.subtract(one, other, dtype=np.float64))
    return np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, apart)


def spread(values: NDArray[Any]) -> Floats:
    """Return the spread of each image's scores, ``[images, 1]``: the shortest range that holds two thirds.

    A few scores far from the others do not widen it. Where an image has but one score, or all are equal, it
    is the spread of a score from image to image, or else the scores' own size.
    """
    own = np.array([[_spread(row)] for row in values])
    if own.all():
        return own
    between = typical(np.array([[_spread(column) for column in values.T]]))
    return np.where(own > 0, own, between if between.any() else typical(np.abs(values).reshape(1, -1)))


def _spread(numbers: NDArray[Any]) -> float:
    """Return the shortest range that holds two thirds; if these are equal, how far others are from them."""
    ordered = np.sort(numbers[np.isfinite(numbers)].astype(np.float64))
    if not len(ordered):
        return 0.0
    held = (2 * len(ordered) + 2) // 3
    shortest = float((ordered[held - 1 :] - ordered[: len(ordered) - held + 1]).min())
    return shortest or float(typical(np.abs(ordered - np.median(ordered))[np.newaxis]).item())


def typical(amounts: NDArray[Any]) -> Floats:
    """Return the lower median of each row's positive finite numbers, ``[rows, 1]``; 0 if there is none."""
    kept = np.where((amounts > 0) & np.isfinite(amounts), amounts, np.inf)
    kept.sort(axis=1)
    count = np.isfinite(kept).sum(axis=1, keepdims=True)
    middle = np.take_along_axis(kept, np.maximum(count - 1, 0) // 2, axis=1)
    return np.where(count > 0, middle, 0.0)


def _finite(values: NDArray[Any], otherwise: float) -> Floats:
    return np.where(np.isfinite(values), values, otherwise).astype(np.float64)


def _in_steps(values: NDArray[Any]) -> bool:
    """Tell whether these are multiples of the smallest: a quantised model's, which have no finer ones."""
    positive = values[values > 0].astype(np.float64)
    steps = positive / positive.min(initial=np.inf)
    return bool((np.abs(steps - np.rint(steps)) < STEP_TOLERANCE).all())


def _log(values: NDArray[Any]) -> Floats:
    return np.log(np.maximum(values.astype(np.float64), SMALLEST / 16))
