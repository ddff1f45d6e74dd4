"""What an environment computes at each layer of the network, on one image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.border import opened
from mutatenn.engine.evaluate import Evaluator
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mutatenn.api.program import Call, Program
    from mutatenn.campaign.execution.setup import Setup

    Values = dict[str, NDArray[np.generic]]

INPUT = "input"
"""The name of what goes into the first layer."""


@attrs.frozen(eq=False)
class LayerSource:
    """One environment's layers: their names in order, what they compute on an image, and their parameters.

    ``values`` takes the index of an image. A layer whose own result is not kept, since it is fused with the
    next, is not among them; the first is :data:`INPUT`. ``parameters`` are the constants of each layer.
    """

    order: tuple[str, ...]
    values: Callable[[int], Values]
    parameters: dict[str, list[NDArray[np.generic]]]


def layer_source(setup: Setup, environment: str) -> LayerSource:
    """Return an environment's layers; to be called in a process of its own.

    Raises InputError for one whose layers cannot be told: the model's own framework, where the frontend does
    not say what it computes on the way; a model that runs as a whole; and one that could not be compiled.
    """
    if environment not in setup.backends:
        return _framework(setup, environment)
    if environment not in setup.toolchains:
        raise InputError(f"environment {environment!r}: {setup.failures[environment]}")
    toolchain = setup.toolchains[environment]
    program, order = toolchain.program, [layer.name for layer in toolchain.model_layers]
    results = layer_results(program, order)
    if toolchain.fallback or not results:
        why = toolchain.fallback or "the frontend names no layers"
        raise InputError(f"environment {environment!r} has no layers to compare: {why}")
    evaluator = Evaluator(opened(toolchain.backend))
    linked = evaluator.link(program)

    def values(index: int) -> Values:
        image = setup.inputs[environment][index]
        known = evaluator.original(linked, image, {linked.numbers[value] for value in results.values()})
        fetched = {
            name: evaluator.device.fetch(known.tensors[linked.numbers[value]])
            for name, value in results.items()
        }
        return {INPUT: image[np.newaxis], **fetched}

    return LayerSource((INPUT, *results), values, _parameters(program, order))


def layer_results(program: Program, order: list[str]) -> dict[str, int]:
    """Return the value of a program that is a layer's result, by layer, in the order of the network.

    It is what the last call gives that computes anything of the layer, unless that computes later ones, too;
    of several results the first.
    """
    last: dict[str, Call] = {}
    for call in program.calls:
        last |= {layer.name: call for layer in call.layers}
    places = {name: place for place, name in enumerate(order)}
    found = {name: call.results[0] for name, call in last.items() if _latest(call, places) == name}
    return dict(sorted(found.items(), key=lambda item: places.get(item[0], len(places))))


def _latest(call: Call, places: dict[str, int]) -> str:
    return max((layer.name for layer in call.layers), key=lambda name: places.get(name, -1))


def _parameters(program: Program, order: list[str]) -> dict[str, list[NDArray[np.generic]]]:
    """Return the constants of the calls that compute one layer alone, in the order of the calls."""
    found: dict[str, list[NDArray[np.generic]]] = {name: [] for name in order}
    for call in program.calls:
        if len(call.layers) == 1:
            constants = [
                program.constants[value].value for value in call.arguments if value in program.constants
            ]
            found.setdefault(call.layers[0].name, []).extend(constants)
    return {name: constants for name, constants in found.items() if constants}


def _framework(setup: Setup, environment: str) -> LayerSource:
    imported = setup.imported[environment]

    def values(index: int) -> Values:
        image = setup.inputs[environment][index]
        inner = imported.frontend.inner(imported.model, image)
        if inner is None or not inner.layers:
            raise InputError(
                f"environment {environment!r}: frontend {imported.frontend.name} does not tell what its "
                "framework computes at each layer; compare compiled environments"
            )
        found = {name: value for name, value in zip(inner.layers, inner.values, strict=True) if name}
        return {INPUT: image[np.newaxis], **found}

    return LayerSource(tuple(values(0)), values, {})
