"""What oracles measure, checked against their contract; a broken one is a PluginError."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mutatenn.border import broken, calling
from mutatenn.errors import PluginError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.api.comparator import Comparator
    from mutatenn.api.values import Scores


def measured(oracle: Comparator, original: Scores, candidate: Scores) -> NDArray[np.float64]:
    """Return an oracle's measures, float64 ``[images]``, made of outputs that it cannot write into.

    Raises PluginError.
    """
    for scores in (original, candidate):
        scores.values.flags.writeable = False
    with calling(oracle, "measure"):
        found = oracle.measure(original, candidate)
    shape = original.values.shape[:1]
    if not is_array(found, "f", shape):
        raise broken(oracle, "measure", f"a float64 array {list(shape)}", found)
    return np.array(found, np.float64)


def noticed(oracle: Comparator, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which measures an oracle takes for noticed, bool ``[images]``; raises PluginError."""
    given = values.copy()
    with calling(oracle, "noticed"):
        found = oracle.noticed(given)
    if not is_array(found, "b", values.shape):
        raise broken(oracle, "noticed", f"a bool array {list(values.shape)}", found)
    return np.array(found, bool)


def own_measure(oracle: Comparator, original: Scores) -> NDArray[np.float64]:
    """Return what an oracle measures of outputs and themselves, float64 ``[images]``.

    Raises PluginError if that is none, or if the oracle notices a difference: it would kill every mutant.
    """
    found = measured(oracle, original, original)
    seen = noticed(oracle, found) | ~np.isfinite(found)
    if seen.any():
        raise PluginError(
            f"oracle {oracle.name!r} notices the original itself: compared with its own outputs it measures "
            f"{found[seen][0]:g} on {int(seen.sum())} of {len(found)} images, threshold "
            f"{oracle.threshold:g}; set another threshold or choose another oracle"
        )
    return found


def is_array(found: object, kinds: str, shape: tuple[int, ...]) -> bool:
    """Tell whether something is an array of one of these kinds of dtype, and of this shape."""
    return isinstance(found, np.ndarray) and found.dtype.kind in kinds and found.shape == shape
