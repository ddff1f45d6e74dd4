"""Disturbs single weights of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn import Example, Mutator, hookimpl
from mutatenn_mutators._shared import options
from mutatenn_mutators._shared.sources import dense
from mutatenn_mutators.weights._base import SampledWeightMutator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mutatenn_mutators.weights._layers import Array, Layer, Tensor


@attrs.frozen(kw_only=True)
class GaussianFuzzWeights(SampledWeightMutator):
    """Multiply some weights of a layer by 1 + Gaussian noise of standard deviation ``sigma``.

    GF of the papers. As in DeepMutation++ the noise is relative to the weight; a weight of 0 stays. The
    defaults, 1 % of the weights and a deviation of 0.5, are those of its authors' tool. A weight changes by
    one unit in the last place at least.
    """

    name = "gaussian-fuzz-weights"
    sigma: float = attrs.field(default=0.5, validator=options.positive)

    def accepts(self, layer: Layer) -> bool:
        """Accept layers that have a weight other than 0."""
        return bool(layer.weights.array.any())

    def change(self, layer: Layer) -> Iterator[tuple[Tensor, Array]]:
        """Yield the weights, some of them fuzzed."""
        weights, chance = layer.weights.array, self.chance(layer)
        changed = weights.flatten()
        chosen = self.sample(chance, changed != 0, changed.size)
        old = changed[chosen]
        new = (old * (1 + self.sigma * chance.standard_normal(len(chosen)))).astype(old.dtype)
        changed[chosen] = np.where(new == old, np.nextafter(old, old.dtype.type(np.inf)), new)
        yield layer.weights, changed.reshape(weights.shape)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a matrix, of which one weight is 1 %."""
        return [Example(dense([[1.0, 2.0], [3.0, 4.0]]), dense([[1.3697826, 2.0], [3.0, 4.0]]))]


@attrs.frozen(kw_only=True)
class ShuffleWeights(SampledWeightMutator):
    """Shuffle the incoming weights of some neurons (output channels) of a layer.

    WS of the papers; 1 % of the layer's neurons, at least one, by default.
    """

    name = "shuffle-weights"

    def accepts(self, layer: Layer) -> bool:
        """Accept layers with a neuron whose weights are not all equal."""
        return bool(layer.varied.any())

    def change(self, layer: Layer) -> Iterator[tuple[Tensor, Array]]:
        """Yield the weights, those of some neurons in another order."""
        chance = self.chance(layer)
        chosen = self.sample(chance, layer.varied, layer.neurons)
        rows = np.stack([_shuffled(row, chance) for row in layer.weights.rows[chosen]])
        yield layer.weights, layer.weights.with_rows(chosen, rows)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a matrix of two neurons, one a column."""
        return [Example(dense([[1.0, 2.0], [3.0, 4.0]]), dense([[3.0, 2.0], [1.0, 4.0]]))]


def _shuffled(row: Array, chance: np.random.Generator) -> NDArray[np.floating]:
    """Return the weights in an order that makes a difference; they are not all equal."""
    shuffled = chance.permutation(row)
    while np.array_equal(shuffled, row):
        shuffled = chance.permutation(row)
    return shuffled


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [GaussianFuzzWeights, ShuffleWeights]
