"""The contract of an oracle: how far two sets of classifier outputs are apart."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs
import numpy as np

from mutatenn.api.capability import Capability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.api.values import Scores


@attrs.frozen(kw_only=True)
class Comparator(Capability):
    """Measures, image by image, how a candidate's outputs differ from the original's.

    ``worse`` says in which direction the measure gets worse; ``threshold`` is the value beyond which
    (strictly) a difference counts as noticed when this oracle decides about a kill.
    """

    worse: ClassVar[Literal["higher", "lower"]]
    threshold: float = 0.0

    @abstractmethod
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return one float64 per image, ``[images]``.

        Both scores have the same shape ``[images, classes]``, ``classes >= 1``, ``images >= 0``; the
        original is finite. An image whose candidate values are not all finite measures NaN.
        """

    def noticed(self, values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Return which images show a difference worse than the threshold; NaN always does."""
        worse = values > self.threshold if self.worse == "higher" else values < self.threshold
        return np.asarray(worse | np.isnan(values))
