"""The relative error oracle: by what fraction the most changed score changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._options import number
from mutatenn_comparators._rows import difference, finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class MaxRel(Comparator):
    """Largest relative error over the classes, from 0 up: ``max(|a - b| / max(|a|, floor))``.

    ``a`` is the original, so the measure is not symmetric. Higher is worse. Below ``floor`` the
    error counts as a fraction of the floor, so that a score of zero, or one lost in rounding, does
    not weigh infinitely. Its default 1e-7 is about float32's machine epsilon: less than that
    cannot change a sum of probabilities. Logits are differences of large sums and carry rounding
    errors of about 1e-5 even where they are near zero; a floor of 0.1 suits them.

    The threshold 1e-3 is some hundred times what float32 sums taken in another order do to the
    probabilities of a deep network.
    """

    name: ClassVar[str] = "max-rel"
    worse: ClassVar[Literal["higher", "lower"]] = "higher"
    threshold: float = 1e-3
    floor: float = attrs.field(
        default=1e-7, validator=number("finite and above 0", lambda f: 0 < f < float("inf"))
    )

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the largest relative error per image."""
        scale = np.maximum(np.abs(original.values.astype(np.float64)), self.floor)
        errors = np.abs(difference(original, candidate)) / scale
        largest: NDArray[np.float64] = errors.max(axis=1)
        return largest


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``max-rel``."""
    return [MaxRel]
