"""Layers of a graph: convolutions and matrix products with the constants that belong to them."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from mutatenn import ir
from mutatenn_mutators._shared.calls import static_shape

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[np.floating[Any]]
Place = tuple[Any, int]
"""Where a constant stands: the variable its expression is bound to, and which argument of that it is."""

LONGEST = 120
"""Characters of a description."""


@attrs.frozen(eq=False)
class Tensor:
    """A constant: ``source`` as it is stored, ``array`` as a layer reads it.

    Importers transpose and reshape constants on the way to a layer: ``steps``. The layer's neurons lie along
    ``axis`` of ``array``.
    """

    place: Place
    source: Array
    array: Array
    steps: tuple[Callable[[Any], Any], ...] = ()
    axis: int = 0

    @property
    def rows(self) -> Array:
        """What belongs to each neuron, ``[neurons, values]``."""
        return np.moveaxis(self.array, self.axis, 0).reshape(self.array.shape[self.axis], -1)

    def with_rows(self, neurons: NDArray[np.intp], rows: Array) -> Array:
        """Return ``array`` with the values of some neurons replaced."""
        changed = self.array.copy()
        by_neuron = np.moveaxis(changed, self.axis, 0)
        by_neuron[neurons] = rows.reshape(len(neurons), *by_neuron.shape[1:])
        return changed

    def stored(self, array: Array) -> Array:
        """Return what to store for the layer to read ``array``."""
        positions = np.arange(self.source.size).reshape(self.source.shape)
        for step in self.steps:
            positions = step(positions)
        result = np.empty(self.source.size, self.source.dtype)
        result[positions] = array
        return result.reshape(self.source.shape)


@attrs.frozen(eq=False)
class Layer:
    """A convolution or matrix product with constant weights; its neurons are the output channels.

    A neuron's value is what an activation function would get: ``bias`` is added and ``norm`` (scale, shift,
    mean, variance of a batch normalisation) applied where nothing else reads what is in between.
    """

    binding: Any
    """Of the convolution or product."""
    end: Any
    """Of the sum with the bias; ``binding`` where there is none."""
    weights: Tensor
    bias: Tensor | None = None
    norm: tuple[Tensor, ...] = ()
    groups: int = 1

    @property
    def neurons(self) -> int:
        """How many there are."""
        return int(self.weights.array.shape[self.weights.axis])

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All constants that belong to the layer."""
        return (self.weights, *([self.bias] if self.bias else []), *self.norm)

    @property
    def factors(self) -> tuple[Tensor, ...]:
        """The constants that a neuron's value is proportional to."""
        return self.norm[:2] or self.tensors

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Which neurons can be anything but 0."""
        rows = np.concatenate([tensor.rows for tensor in self.factors], axis=1)
        return np.asarray((rows != 0).any(axis=1))

    @cached_property
    def varied(self) -> NDArray[np.bool_]:
        """Which neurons have different weights."""
        rows = self.weights.rows
        return np.asarray((rows != rows[:, :1]).any(axis=1))

    @property
    def table(self) -> Array:
        """All values that belong to each neuron, by group: ``[groups, neurons of a group, values]``."""
        rows = np.concatenate([tensor.rows for tensor in self.tensors], axis=1)
        return rows.reshape(self.groups, self.neurons // self.groups, -1)

    @cached_property
    def digest(self) -> int:
        """A number that depends on the weights alone."""
        content = hashlib.blake2b(self.weights.array.tobytes(), digest_size=8)
        return int.from_bytes(content.digest(), "big")

    @property
    def description(self) -> str:
        """One line for people: the variable, the operator and the shapes it reads."""
        return describe(self.binding)


def describe(binding: Any) -> str:
    """Return one line for people about a call: the variable, the operator and the shapes it reads."""
    call = binding.value
    operator = call.op.name.replace("relax.", "R.", 1)
    text = f"{binding.var.name} = {operator}({', '.join(map(_argument, call.args))})"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _argument(argument: Any) -> str:
    name = argument.name if isinstance(argument, ir.relax.Var) else "const"
    return f"{name}[{'x'.join(map(str, static_shape(argument)))}]"
