"""Follows a mutant's difference through the network, kernel by kernel, on one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.verdict import Status
from mutatenn.border import opened
from mutatenn.campaign.execution.derive import derive
from mutatenn.campaign.execution.reopen import reopened
from mutatenn.engine.evaluate import Evaluator
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import InputError
from mutatenn.nearest import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mutatenn.api.backend import Device
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.program import Program
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.engine.evaluate import OriginalValues
    from mutatenn.engine.link import LinkedProgram
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.run import Run

TRACEABLE = (Status.KILLED, Status.SURVIVED, Status.NEVER_INFECTED)


@attrs.frozen
class TraceStep:
    """One result of a mutant's kernel beside the original's value of the same name and shape.

    ``position`` is that of the call, from 0. ``changed`` is the share of elements that differ in some bit,
    ``max_abs`` the largest absolute difference where both are finite, ``relative`` that difference over the
    original's largest absolute value, ``non_finite`` counts the mutant's elements that are not finite where
    the original's are. All are None where the original has no such value. ``layers`` are the names of the
    user's own layers that are computed into it.
    """

    position: int
    kernel: str
    shape: tuple[int, ...]
    mutated: bool
    changed: float | None = None
    max_abs: float | None = None
    relative: float | None = None
    non_finite: int | None = None
    layers: tuple[str, ...] = ()


@attrs.frozen
class Trace:
    """All results of a mutant on an image, in order; labels are top-1 output indices."""

    environment: str
    mutant: str
    image: str
    original_label: int
    mutant_label: int
    hops: tuple[TraceStep, ...]

    @property
    def first(self) -> TraceStep | None:
        """The first result that differs from the original's, or that the original does not have."""
        return next((hop for hop in self.hops if hop.changed is None or hop.changed > 0), None)


def trace(run: Run, mutant: str, environment: str, image: str | None, host: PluginHost) -> Trace:
    """Run a mutant again on one image, by name, and compare all its values with the original's.

    Without a name it is the first image that killed it, else that changed the output, else that it infected,
    else the first of all. Raises InputError for what cannot be traced, InfrastructureError if it crashes.
    """
    verdict = run.verdict(environment, mutant)
    if verdict is None or verdict.status not in TRACEABLE:
        how = f"it ended as {verdict.status}" if verdict else "it has not run"
        raise InputError(f"mutant {mutant!r} cannot be traced in {environment!r}: {how}")
    setup = reopened(run, host)
    row, planned = _row(run, mutant, environment, image), run.mutant(mutant).mutant
    labels, hops = call_isolated(lambda: _follow(setup, planned, environment, row))
    return Trace(environment, mutant, run.image_names[row], *labels, tuple(hops))


def _row(run: Run, mutant: str, environment: str, image: str | None) -> int:
    names = run.image_names
    if image is not None:
        if image not in names:
            raise InputError(unknown_name("image", image, names))
        return names.index(image)
    verdict = run.verdict(environment, mutant)
    seen = run.observation(environment, mutant)
    if verdict and verdict.killed_images:
        return names.index(verdict.killed_images[0])
    if seen is None:
        return 0
    return int(seen.rows[0]) if len(seen.rows) else int(np.argmax(seen.infected))


def _follow(
    setup: Setup, mutant: Mutant, environment: str, row: int
) -> tuple[tuple[int, int], list[TraceStep]]:
    toolchain = setup.toolchains[environment]
    program, _ = derive(mutant, toolchain, setup.host)
    evaluator = Evaluator(opened(toolchain.backend))
    original = evaluator.original(evaluator.link(toolchain.program), setup.inputs[environment][row])
    linked = evaluator.link(program)
    changed = evaluator.original(linked, setup.inputs[environment][row])
    labels = [_label(evaluator.device.fetch(known.output)) for known in (original, changed)]
    return (labels[0], labels[1]), list(_hops(evaluator.device, original, linked, changed))


def _label(output: NDArray[Any]) -> int:
    return int(np.argmax(np.nan_to_num(output, nan=-np.inf)))


def _hops(
    device: Device, original: OriginalValues, linked: LinkedProgram, changed: OriginalValues
) -> Iterator[TraceStep]:
    names = _by_name(original.original.program)
    kernels = original.original.program.kernels
    layers = {value: call.layers for call in original.original.program.calls for value in call.results}
    for position, step in enumerate(linked.steps):
        for value, spec in zip(step.results, step.specs, strict=True):
            hop = TraceStep(position, step.name, spec.shape, step.kernel not in kernels)
            same = names.get((spec.name, spec.shape, spec.dtype))
            if same is not None:
                before = device.fetch(original.tensors[original.original.numbers[same]])
                after = device.fetch(changed.tensors[linked.numbers[value]])
                told = tuple(layer.name for layer in layers[same])
                hop = attrs.evolve(hop, layers=told, **_differences(before, after))
            yield hop


def _by_name(program: Program) -> dict[tuple[str, tuple[int, ...], str], int]:
    results = [value for call in program.calls for value in call.results]
    specs = [program.values[value] for value in results]
    return {(spec.name, spec.shape, spec.dtype): value for spec, value in zip(specs, results, strict=True)}


def _differences(before: NDArray[Any], after: NDArray[Any]) -> dict[str, Any]:
    bits = before.view(np.uint8).reshape(-1, before.itemsize) != after.view(np.uint8).reshape(
        -1, after.itemsize
    )
    finite = np.isfinite(before) & np.isfinite(after)
    difference = np.abs(before[finite].astype(np.float64) - after[finite].astype(np.float64))
    scale = float(np.abs(before[np.isfinite(before)]).max(initial=0.0))
    largest = float(difference.max(initial=0.0))
    return {
        "changed": float(bits.any(axis=1).mean()),
        "max_abs": largest,
        "relative": largest / scale if scale else (float("inf") if largest else 0.0),
        "non_finite": int((np.isfinite(before) & ~np.isfinite(after)).sum()),
    }
