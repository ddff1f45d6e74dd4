"""Removes the bias of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mutatenn import Example, Mutator, hookimpl
from mutatenn_mutators._shared.sources import dense
from mutatenn_mutators.weights._base import WeightMutator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn_mutators.weights._layers import Array, Layer, Tensor


class RemoveBias(WeightMutator):
    """Make the bias of a layer 0.

    DeepCrime removes it before the training (WRB); here the trained network loses it, and as much as if its
    addition were left out (drop-bias). The shift of a batch normalisation is not counted as a bias.
    """

    name = "remove-bias"
    origin = (
        "DeepCrime: Mutation Testing of Deep Learning Systems Based on Real Faults, "
        "Humbatova et al., ISSTA 2021"
    )
    needs = "layer with a bias of its own"

    def accepts(self, layer: Layer) -> bool:
        """Accept layers whose bias is not 0 already."""
        return layer.bias is not None and bool(layer.bias.array.any())

    def change(self, layer: Layer) -> Iterator[tuple[Tensor, Array]]:
        """Yield a bias of 0."""
        if layer.bias:
            yield layer.bias, np.zeros_like(layer.bias.array)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a matrix product."""
        weights = [[1.0, 2.0], [3.0, 4.0]]
        return [Example(dense(weights, [5.0, 6.0]), dense(weights, [0.0, 0.0]))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operator."""
    return [RemoveBias]
