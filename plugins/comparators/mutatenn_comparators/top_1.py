"""The top-1 oracle: whether the predicted label stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._rows import finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Top1(Comparator):
    """Whether the predicted label stays the same: 1.0 where it does, 0.0 where it changes.

    The label is the class with the highest score, ties going to the lower index. Lower is worse.
    Any threshold above 0 and up to 1 means the same, that a changed label is noticed.
    """

    name: ClassVar[str] = "top-1"
    worse: ClassVar[Literal["higher", "lower"]] = "lower"
    threshold: float = 1.0

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return 1.0 or 0.0 per image."""
        same: NDArray[np.bool_] = original.labels() == candidate.labels()
        return same.astype(np.float64)


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``top-1``."""
    return [Top1]
