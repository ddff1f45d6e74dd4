"""Disturbs whole neurons of a layer: the output channels of a convolution or matrix product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mutatenn import Example, Mutator, hookimpl
from mutatenn_mutators._shared.sources import dense
from mutatenn_mutators.weights._base import SampledWeightMutator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mutatenn_mutators.weights._layers import Array, Layer, Tensor

_WEIGHTS, _BIAS = [[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0]


class ScaleNeurons(SampledWeightMutator):
    """Multiplies the values of some neurons.

    A neuron's value is what its activation function gets: with the bias added and, where a batch
    normalisation follows, normalised.
    """

    factor: float

    def accepts(self, layer: Layer) -> bool:
        """Accept layers with a neuron whose value is not always 0."""
        return bool(layer.live.any())

    def change(self, layer: Layer) -> Iterator[tuple[Tensor, Array]]:
        """Yield what the neurons' values are proportional to, multiplied for some of them."""
        chosen = self.sample(self.chance(layer), layer.live, layer.neurons)
        for tensor in layer.factors:
            yield tensor, tensor.with_rows(chosen, self.factor * tensor.rows[chosen])


class BlockNeuron(ScaleNeurons):
    """Make some neurons (output channels) of a layer always 0.

    NEB, neuron effect block, of the papers; 1 % of the layer's neurons, at least one, by default. The weights
    and the bias of the neuron become 0, or scale and shift of the batch normalisation that follows the layer.
    """

    name = "block-neuron"
    factor = 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a matrix product with a bias, where a neuron is a column."""
        return [Example(dense(_WEIGHTS, _BIAS), dense([[0.0, 2.0], [0.0, 4.0]], [0.0, 6.0]))]


class InvertNeuron(ScaleNeurons):
    """Change the sign of some neurons (output channels) of a layer, before their activation function.

    NAI, neuron activation inverse, of the papers; 1 % of the layer's neurons, at least one, by default. The
    weights and the bias of the neuron change sign, or scale and shift of the batch normalisation that
    follows the layer.
    """

    name = "invert-neuron"
    factor = -1.0

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a matrix product with a bias, where a neuron is a column."""
        return [Example(dense(_WEIGHTS, _BIAS), dense([[-1.0, 2.0], [-3.0, 4.0]], [-5.0, 6.0]))]


class SwitchNeurons(SampledWeightMutator):
    """Exchange some neurons (output channels) of a layer, in pairs.

    NS, neuron switch, of the papers; 1 % of the layer's neurons, at least one pair, by default. With all that
    belongs to them: weights, bias and the batch normalisation that follows. A grouped convolution's neurons
    change places within their group, because others see other inputs; a depthwise one is no site.
    """

    name = "switch-neurons"
    needs = "layer with two neurons of its own that differ"

    def accepts(self, layer: Layer) -> bool:
        """Accept layers with two different neurons that see the same inputs."""
        table = layer.table
        return bool((table != table[:, :1]).any())

    def change(self, layer: Layer) -> Iterator[tuple[Tensor, Array]]:
        """Yield all constants of the layer, in the neurons' new order."""
        pairs = max(1, self.count(layer.neurons) // 2)
        order = _exchanged(layer.table, pairs, self.chance(layer))
        for tensor in layer.tensors:
            yield tensor, np.take(tensor.array, order, axis=tensor.axis)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a matrix product with a bias, where a neuron is a column."""
        return [Example(dense(_WEIGHTS, _BIAS), dense([[2.0, 1.0], [4.0, 3.0]], [6.0, 5.0]))]


def _exchanged(table: Array, pairs: int, chance: np.random.Generator) -> NDArray[np.intp]:
    """Return which neuron stands where after so many exchanges, fewer if there are not enough pairs.

    ``table`` is ``[groups, neurons of a group, values]``; the partners differ, and are of one group.
    """
    groups, size = table.shape[:2]
    order = np.arange(groups * size)
    free = np.ones((groups, size), bool)
    for one in chance.permutation(groups * size):
        group, place = divmod(int(one), size)
        if not pairs or not free[group, place]:
            continue
        others = np.flatnonzero(free[group] & (table[group] != table[group, place]).any(axis=1))
        if len(others):
            other = int(chance.choice(others))
            free[group, [place, other]] = False
            order[[one, group * size + other]] = group * size + other, one
            pairs -= 1
    return order


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [BlockNeuron, InvertNeuron, SwitchNeurons]
