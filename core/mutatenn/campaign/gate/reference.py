"""Compares the original's outputs with the reference runtime's, and says in a sentence how they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.campaign.gate.agreement import gaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.values import Scores
    from mutatenn.campaign.gate.agreement import Gap

    Nudge = Callable[[], Sequence[NDArray[np.floating[Any]]]]


@attrs.frozen
class ReferenceComparison:
    """How the original's outputs stand to the reference runtime's.

    ``difference`` and ``spread`` are those of a Baseline. ``problems`` is empty where they agree; ``image``
    is then None, else the index of one on which they do not (None if neither side is right). ``remark``
    tells what is odd and yet equal.
    """

    difference: float = float("inf")
    spread: float | None = None
    problems: tuple[str, ...] = ()
    image: int | None = None
    remark: str = ""


def compare(
    values: NDArray[Any], reference: Scores, tolerance: float, nudge: Nudge = tuple
) -> ReferenceComparison:
    """Compare outputs ``[images, classes]`` with the reference's; ``nudge`` is that of :func:`gate.check`."""
    expected = reference.values
    if values.shape != expected.shape:
        shapes = (
            f"its outputs have the shape {list(values.shape)}, the reference runtime's {list(expected.shape)}"
        )
        return ReferenceComparison(problems=(f"{shapes} (images, classes)",), image=0)
    return _not_finite(values, expected) or _numbers(values, reference, tolerance, nudge)


def _not_finite(values: NDArray[Any], expected: NDArray[Any]) -> ReferenceComparison | None:
    """Return what is not finite and not the same on both sides, or None."""
    ours, theirs = ~np.isfinite(values), ~np.isfinite(expected)
    both = ours & theirs & (values != expected)
    found = [
        _where(ours & ~theirs, values, "its outputs are not all finite", ", where the reference's are"),
        _where(
            theirs & ~ours,
            expected,
            "the reference's outputs are not all finite",
            ", where the compiled model's are",
        ),
        _where(
            both, values, "its outputs are not all finite, nor are the reference's", "; check [preprocess]"
        ),
    ]
    if not any(found):
        return None
    image = next((row for _, row in filter(None, found[:2])), None)
    return ReferenceComparison(problems=tuple(problem for problem, _ in filter(None, found)), image=image)


def _where(wrong: NDArray[np.bool_], side: NDArray[Any], what: str, more: str) -> tuple[str, int] | None:
    """Return what is wrong in a sentence, and the first image where it is; None if it is nowhere."""
    rows = np.flatnonzero(wrong.any(axis=1))
    if not len(rows):
        return None
    return f"{what} ({_kind(side[wrong])} on {len(rows)} of {len(wrong)} images){more}", int(rows[0])


def _kind(values: NDArray[Any]) -> str:
    kinds = (np.isnan(values).any(), "NaN"), (np.isinf(values).any(), "infinite")
    return " and ".join(name for holds, name in kinds if holds)


def _numbers(values: NDArray[Any], reference: Scores, tolerance: float, nudge: Nudge) -> ReferenceComparison:
    found = gaps(values, reference, tolerance)
    if any(gap.images for gap in found):  # maybe no more than rounding makes of this network
        found = gaps(values, reference, tolerance, nudge())
    first, red = found[0], next((gap for gap in found if gap.images), None)
    image, label = first.worst
    infinite = int(np.isinf(values).any(axis=1).sum())
    alike = f"infinite scores on {infinite} of {len(values)} images, the same as the reference's"
    return ReferenceComparison(
        float(first.apart[image, label]),
        None if first.spread is None else float(first.spread[image, 0]),
        () if red is None else (_too_far(red, values, reference, tolerance),),
        None if red is None else red.worst[0],
        alike if infinite else "",
    )


def _too_far(gap: Gap, values: NDArray[Any], reference: Scores, tolerance: float) -> str:
    changed = int((np.argmax(values, axis=1) != reference.labels()).sum())
    apart = f"{gap.apart[gap.worst]:.2g} on {gap.images} of {len(values)} images"
    labels = f"({changed} label{'s differ' if changed != 1 else ' differs'})"
    return (
        f"{gap.what} differ from the reference runtime's by {apart}, "
        f"more than {gap.limit(tolerance)} {labels}"
    )
