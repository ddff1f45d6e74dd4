"""Base classes of the operators that change the constants of a trained network's layers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np

from mutatenn import Mutator
from mutatenn_mutators._shared import options
from mutatenn_mutators._shared.paper import DEEPMUTATION
from mutatenn_mutators.weights._layer_search import layers, with_constants

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from mutatenn import Level, Stage
    from mutatenn_mutators.weights._layers import Array, Layer, Place, Tensor


@attrs.frozen(kw_only=True)
class WeightMutator(Mutator):
    """Changes constants of a layer; a site is a convolution or matrix product with constant weights.

    Sites are numbered in the order of the program. The graph and all other constants stay, so that no
    kernel is compiled for a mutant.
    """

    level: ClassVar[Level] = "graph"
    stage: ClassVar[Stage] = "graph"
    groups: ClassVar[tuple[str, ...]] = ("weights",)
    origin: ClassVar[str] = DEEPMUTATION
    needs: ClassVar[str] = "layer with weights of its own"

    @abstractmethod
    def accepts(self, layer: Layer) -> bool:
        """Tell whether a change is possible here, and can make a difference."""

    @abstractmethod
    def change(self, layer: Layer) -> Iterator[tuple[Tensor, Array]]:
        """Yield constants of the layer, each with what the layer is to read in its place."""

    def sites(self, unit: Any) -> list[str]:
        """Describe each site: the variable, the operator and the shapes it reads."""
        return [layer.description for layer in self._accepted(unit)]

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        """Return a well-formed IRModule with other constants at the given sites, identical elsewhere."""
        accepted = self._accepted(unit)
        for site in sites:
            if not 0 <= site < len(accepted):
                raise IndexError(f"site {site} does not exist; there are {len(accepted)}")
        changes: dict[Place, Array] = {}
        for site in sorted(set(sites)):
            for tensor, array in self.change(accepted[site]):
                if not np.array_equal(array, tensor.array):
                    changes[tensor.place] = tensor.stored(array)
        return with_constants(unit, changes)

    def _accepted(self, unit: Any) -> list[Layer]:
        return [layer for layer in layers(unit) if self.accepts(layer)]


@attrs.frozen(kw_only=True)
class SampledWeightMutator(WeightMutator):
    """Changes a few weights or neurons of a layer, chosen at random.

    The choice depends on ``seed`` and on the layer's weights, and on nothing else: it is the same on every
    machine, wherever in the network the layer is.
    """

    seed: int = attrs.field(default=0, validator=options.seed)
    ratio: float = attrs.field(default=0.01, validator=options.ratio)
    """How many of the layer's weights or neurons are changed; at least one."""

    def chance(self, layer: Layer) -> np.random.Generator:
        """Return the generator of this layer's random numbers, at its start."""
        return np.random.default_rng([self.seed, layer.digest])

    def count(self, total: int) -> int:
        """Return how many of ``total`` to change."""
        return max(1, round(self.ratio * total))

    def sample(
        self, chance: np.random.Generator, candidates: NDArray[np.bool_], total: int
    ) -> NDArray[np.intp]:
        """Return the indices of some candidates, ascending."""
        indices = np.flatnonzero(candidates)
        return np.sort(chance.choice(indices, min(len(indices), self.count(total)), replace=False))
