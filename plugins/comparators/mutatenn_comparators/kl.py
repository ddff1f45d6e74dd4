"""The Kullback-Leibler oracle: how much information the candidate's probabilities lose."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import numpy as np

from mutatenn import Comparator, Scores, hookimpl
from mutatenn_comparators._rows import finite_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class KullbackLeibler(Comparator):
    """Kullback-Leibler divergence of the candidate from the original in nats, from 0 to inf.

    The generalised divergence ``sum(a * log(a / b) - a + b)`` (Kullback and Leibler, "On
    information and sufficiency", Annals of Mathematical Statistics 22, 1951), which is the usual
    one where both sum to 1 and stays a divergence where a mutated candidate does not. Logits go
    through a softmax first. Not symmetric; higher is worse. A candidate of zero where the original
    is above, or a negative "probability" on either side, makes it inf: outputs of a model without a
    softmax must be called logits.

    Where every probability changes by a small fraction ``e`` the divergence is about ``e**2 / 2``.
    The threshold 1e-6 thus forgives 1.4e-3, a little more than the relative error of 1e-3 that
    ``max-rel`` forgives.
    """

    name: ClassVar[str] = "kl"
    worse: ClassVar[Literal["higher", "lower"]] = "higher"
    threshold: float = 1e-6

    @finite_rows
    def measure(self, original: Scores, candidate: Scores) -> NDArray[np.float64]:
        """Return the divergence per image, in nats."""
        from scipy.special import kl_div  # here, as importing scipy takes long

        terms = kl_div(original.probabilities(), candidate.probabilities())
        # No term is negative; rounding may make one so by some 1e-16.
        divergence: NDArray[np.float64] = np.maximum(terms, 0.0).sum(axis=1)
        return divergence


@hookimpl
def mutatenn_comparators() -> list[type[Comparator]]:
    """Contribute ``kl``."""
    return [KullbackLeibler]
