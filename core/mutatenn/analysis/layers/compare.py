"""Compares two environments layer by layer: where they begin to differ, and by how much."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.analysis.environments.holm import holm
from mutatenn.analysis.layers.values import INPUT, LayerSource, layer_source
from mutatenn.analysis.table import Cell, Table
from mutatenn.campaign.execution.reopen import reopened
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import InputError
from mutatenn.host.plugin_host import PluginHost
from mutatenn.nearest import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mutatenn.analysis.layers.values import Values
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.results.run import Run

    Array = NDArray[np.generic]

FLOOR = 1e-3
"""Of a layer's largest value: what rounding comes to, and what does not matter, is below it."""
IMAGES = 8
ALIKE = 0.5
"""Correlation below which values do not go together."""
SAMPLE = 8192
"""Elements of a tensor by which that is told."""
NEXT = 4
"""Layers that may be folded into one."""
FEWEST = 3
"""Images of a kind that a test needs."""
TO_NCHW = {4: (0, 3, 1, 2), 3: (0, 2, 1)}
"""From channels last to channels first, by the number of dimensions."""


@attrs.frozen
class Measured:
    """One layer on one image."""

    max_abs: float
    mean_abs: float
    std: float
    relative: float
    sqnr: float
    cosine: float


@attrs.frozen
class LayerDifference:
    """How far a layer's results are apart, over the images.

    ``shape`` is the first's. ``max_abs`` is the largest absolute difference, ``mean_abs`` their mean, ``std``
    their standard deviation; ``relative`` is the largest difference over the layer's largest absolute value,
    of the worst image; ``sqnr`` the signal to noise ratio in dB, 10 log10 of the sums of squares, and
    ``cosine`` the cosine of the two, of the worst image. ``growth`` is ``relative`` over that of the worst
    layer before. ``parameters`` is the largest relative difference of the layer's constants, None where they
    cannot be compared. ``p`` is the probability that images whose labels differ are no further apart here
    than the others (Mann-Whitney, corrected by Holm), None where there are too few of a kind. ``by_image``
    has the same numbers of each image, in the order of the comparison's.
    """

    layer: str
    shape: tuple[int, ...]
    max_abs: float
    mean_abs: float
    std: float
    relative: float
    sqnr: float
    cosine: float
    growth: float
    parameters: float | None = None
    p: float | None = None
    by_image: tuple[Measured, ...] = ()


@attrs.frozen
class LayerComparison:
    """Two environments, layer by layer in the order of the first's network.

    ``unmatched`` are layers that have no result of their own in one of the two, or one of another shape.
    Where one side folds layers that the other has apart, that stands as ``ONE = OTHER``: the name of the
    result in the first, and that in the second.
    """

    first: str
    second: str
    images: tuple[str, ...]
    layers: tuple[LayerDifference, ...]
    unmatched: tuple[str, ...]
    floor: float

    @property
    def first_beyond(self) -> LayerDifference | None:
        """The first layer that is further apart than the floor."""
        return next((each for each in self.layers if each.relative > self.floor), None)

    def tables(self) -> list[Table]:
        """Return the layers as tables: all numbers, and by image the largest difference and its spread.

        The last two are the figures 2a and 2b of Louloudakis et al., DeltaNN, 2023; the largest is relative
        to the layer's values, so that parameters have the same unit.
        """
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.first}-{self.second}")
        keys = "max_abs", "mean_abs", "std", "relative", "sqnr", "cosine"
        rows: list[tuple[Cell, ...]] = [
            (layer.layer, image, *(getattr(found, key) for key in keys))
            for layer in self.layers
            for image, found in zip(self.images, layer.by_image, strict=False)
        ]
        about = f"{self.second} against {self.first}"
        head = ("layer", "image", *(key.replace("_", " ") for key in keys))
        largest: list[tuple[Cell, ...]] = [
            (each.layer, each.parameters, *(one.relative for one in each.by_image)) for each in self.layers
        ]
        spread: list[tuple[Cell, ...]] = [
            (each.layer, *(one.std for one in each.by_image)) for each in self.layers
        ]
        relative, deviation = f"{about}: largest difference, relative", f"{about}: standard deviation"
        return [
            Table(f"layers-{name}", f"{about}, layer by layer", head, tuple(rows), 2),
            Table(
                f"layers-largest-{name}",
                relative,
                ("layer", "parameters", *self.images),
                tuple(largest),
                1,
                "lines",
            ),
            Table(f"layers-std-{name}", deviation, ("layer", *self.images), tuple(spread), 1, "lines"),
        ]

    @property
    def suspects(self) -> tuple[LayerDifference, ...]:
        """The layers beyond the floor, those first at which the difference grows most."""
        beyond = [each for each in self.layers if each.relative > self.floor]
        return tuple(sorted(beyond, key=lambda each: -each.growth))


def compare_layers(
    runs: Sequence[Run],
    first: str,
    second: str,
    *,
    images: int = IMAGES,
    floor: float = FLOOR,
    host: PluginHost | None = None,
) -> LayerComparison:
    """Run two environments again on so many images, and compare what they compute at each layer.

    ``runs`` are one, or two, the first of which has ``first``. The images are the first of the first run, and
    must be in both. Layers are the same where their names are; where layouts differ, one is transposed. Runs
    in a process of its own. Raises InputError for an unknown environment, and for one without layers.
    """
    one, other = runs[0], runs[-1]
    for run, name in ((one, first), (other, second)):
        if name not in run.environments:
            raise InputError(unknown_name("environment", name, run.environments))
    names = [name for name in one.image_names if name in set(other.image_names)][:images]
    if not names:
        raise InputError(f"{one.directory} and {other.directory} have no image in common")
    host = host or PluginHost.installed()
    setups = reopened(one, host), reopened(other, host)
    rows = [[run.image_names.index(name) for name in names] for run in (one, other)]
    differ = _labels_differ(one, other, first, second, rows)
    measured, shapes, parameters, unmatched = call_isolated(
        lambda: _measure(setups, (first, second), rows, floor)
    )
    layers = _summed(measured, shapes, parameters, differ)
    return LayerComparison(first, second, tuple(names), layers, unmatched, floor)


def _labels_differ(one: Run, other: Run, first: str, second: str, rows: list[list[int]]) -> NDArray[np.bool_]:
    outputs = [
        run.outputs(name, None)[at] for run, name, at in zip((one, other), (first, second), rows, strict=True)
    ]
    found: NDArray[np.bool_] = outputs[0].argmax(axis=1) != outputs[1].argmax(axis=1)
    return found


def _measure(
    setups: tuple[Setup, Setup], names: tuple[str, str], rows: list[list[int]], floor: float
) -> tuple[dict[str, list[Measured]], dict[str, tuple[int, ...]], dict[str, float], tuple[str, ...]]:
    one, other = (layer_source(setup, name) for setup, name in zip(setups, names, strict=True))
    found: dict[str, list[Measured]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    pairs: dict[str, str] = {}
    ours: Values = {}
    theirs: Values = {}
    for left, right in zip(*rows, strict=True):
        ours, theirs = one.values(left), other.values(right)
        pairs = pairs or matches(ours, theirs, floor)
        for name, twin in pairs.items():
            aligned = like(theirs[twin], ours[name])
            assert aligned is not None  # noqa: S101  # or they would be no pair
            label = name if name == twin else f"{name} = {twin}"
            found.setdefault(label, []).append(measured(*in_one_unit(ours[name], aligned)))
            shapes[label] = ours[name].shape
    twins = set(pairs.values())
    lone = [*(name for name in ours if name not in pairs), *(name for name in theirs if name not in twins)]
    return found, shapes, _parameters(one, other, pairs), tuple(dict.fromkeys(lone))


def matches(ours: Values, theirs: Values, floor: float) -> dict[str, str]:
    """Return which layer of the second stands for which of the first, by what they compute on one image.

    That is the one of its name; but where one side computes under that name what the other computes in one of
    the next layers, since it folds them into one, it is that layer. Of what has no name in common, those are
    taken for the same that compute alike (:func:`alike`). Left out is what has another shape.
    """
    apart = {
        name: measured(value, aligned).relative
        for name, value in ours.items()
        if name in theirs and (aligned := like(theirs[name], value)) is not None
    }
    found: dict[str, str] = {name: name for name, relative in apart.items() if relative <= floor}
    for name in (name for name in ours if name in theirs and name not in found):
        later = _following(name, ours, theirs)
        earlier = _following(name, theirs, ours)
        folded = next((each for each in later if _equal(ours[each], theirs[name], floor)), None)
        split = next((each for each in earlier if _equal(ours[name], theirs[each], floor)), None)
        if folded is not None:
            found[folded] = name
        elif split is not None or name in apart:
            found[name] = split or name
    taken = set(found.values())
    found |= alike(
        {name: value for name, value in ours.items() if name not in found and name not in theirs},
        {name: value for name, value in theirs.items() if name not in taken and name not in ours},
    )
    return {name: found[name] for name in ours if name in found}


def alike(ours: Values, theirs: Values) -> dict[str, str]:
    """Pair layers by how well their values go together, keeping the order of both.

    Of all ways to pair layers of the same shape, that is taken whose correlations add up to most; it is the
    same for values that are quantised. Pairs that go together by less than :data:`ALIKE` are none.
    """
    rows, columns = list(ours), list(theirs)
    gains = np.zeros((len(rows), len(columns)))
    for row, column in np.ndindex(gains.shape):
        aligned = like(theirs[columns[column]], ours[rows[row]])
        if aligned is not None:
            gains[row, column] = _correlation(ours[rows[row]], aligned)
    gains[gains < ALIKE] = 0
    best = np.zeros((len(rows) + 1, len(columns) + 1))
    for row, column in np.ndindex(gains.shape):
        paired = best[row, column] + gains[row, column]
        best[row + 1, column + 1] = max(paired, best[row, column + 1], best[row + 1, column])
    found: dict[str, str] = {}
    row, column = gains.shape
    while row and column:
        if best[row, column] == best[row - 1, column]:
            row -= 1
        elif best[row, column] == best[row, column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            found[rows[row]] = columns[column]
    return found


def _correlation(one: Array, other: Array) -> float:
    """Return Pearson's correlation of two tensors of the same shape, of a sample of large ones."""
    step = max(1, one.size // SAMPLE)
    values = [np.asarray(each, np.float64).ravel()[::step] for each in (one, other)]
    first, second = (each - each.mean() for each in values)
    norms = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / norms if norms and math.isfinite(norms) else 0.0


def in_one_unit(one: Array, other: Array) -> tuple[Array, Array]:
    """Return two tensors in the unit of the one that has floats, where the other is quantised.

    Scale and zero point are those that bring them closest (least squares).
    """
    kinds = [np.issubdtype(each.dtype, np.integer) for each in (one, other)]
    if kinds[0] == kinds[1]:
        return one, other
    whole, real = (one, other) if kinds[0] else (other, one)
    steps, values = (np.asarray(each, np.float64).ravel() for each in (whole, real))
    apart = steps - steps.mean()
    scale = float(apart @ values) / (float(apart @ apart) or 1.0)
    told = (values.mean() + scale * apart).reshape(whole.shape)
    return (told, real) if kinds[0] else (real, told)


def _following(name: str, values: Values, others: Values) -> list[str]:
    """Return the next layers that the other side does not have."""
    order = list(values)
    place = order.index(name) + 1
    return [each for each in order[place : place + NEXT] if each not in others]


def _equal(one: Array, other: Array, floor: float) -> bool:
    aligned = like(other, one)
    return aligned is not None and measured(one, aligned).relative <= floor


def like(value: Array, model: Array) -> Array | None:
    """Return a tensor in the layout and shape of another; None where it is not the same tensor.

    Layouts differ by where the channels stand; what is flat is taken for the other as it lies in memory.
    """
    if value.shape == model.shape:
        return value
    if value.ndim == model.ndim and value.ndim in TO_NCHW:
        for axes in (TO_NCHW[value.ndim], tuple(np.argsort(TO_NCHW[value.ndim]))):
            turned = value.transpose(axes)
            if turned.shape == model.shape:
                return turned
    kept = [tuple(extent for extent in array.shape if extent != 1) for array in (value, model)]
    return value.reshape(model.shape) if kept[0] == kept[1] else None


def measured(one: Array, other: Array) -> Measured:
    """Return how far two tensors of the same shape are apart."""
    first, second = (each.astype(np.float64).ravel() for each in (one, other))
    with np.errstate(all="ignore"):  # not all need be finite
        difference = second - first
        size, signal = float(np.abs(first).max(initial=0.0)), float(first @ first)
        largest, noise = float(np.abs(difference).max(initial=0.0)), float(difference @ difference)
        norms = math.sqrt(signal * float(second @ second))
        cosine = float(first @ second) / norms if norms else 1.0
    if largest == 0:
        return Measured(0.0, 0.0, 0.0, 0.0, math.inf, 1.0)
    return Measured(
        largest,
        float(np.abs(difference).mean()),
        float(difference.std()),
        largest / size if size else math.inf,
        10 * math.log10(signal / noise) if signal and noise else -math.inf,
        cosine,
    )


def _parameters(one: LayerSource, other: LayerSource, pairs: dict[str, str]) -> dict[str, float]:
    """Return the largest relative difference of the constants of layers that have as many in both.

    Those that are quantised in one of the two are left out.
    """
    found: dict[str, float] = {}
    for name, ours in one.parameters.items():
        theirs = other.parameters.get(pairs.get(name, name), [])
        if {each.dtype for each in ours} != {each.dtype for each in theirs}:
            continue
        aligned = [like(each, model) for each, model in zip(theirs, ours, strict=False)]
        if len(theirs) == len(ours) and all(each is not None for each in aligned):
            both = zip(ours, aligned, strict=True)
            found[name] = max(measured(model, each).relative for model, each in both if each is not None)
    return found


def _summed(
    found: dict[str, list[Measured]],
    shapes: dict[str, tuple[int, ...]],
    parameters: dict[str, float],
    differ: NDArray[np.bool_],
) -> tuple[LayerDifference, ...]:
    chances = _chances(found, differ)
    layers: list[LayerDifference] = []
    before = float(np.finfo(np.float32).eps)
    for name, each in found.items():
        relative = max(one.relative for one in each)
        layers.append(
            LayerDifference(
                name,
                shapes[name],
                max(one.max_abs for one in each),
                float(np.mean([one.mean_abs for one in each])),
                float(np.mean([one.std for one in each])),
                relative,
                min(one.sqnr for one in each),
                min(one.cosine for one in each),
                relative / before,
                parameters.get(name),
                chances.get(name),
                tuple(each),
            )
        )
        before = max(before, relative)
    return tuple(layers)


def _chances(found: dict[str, list[Measured]], differ: NDArray[np.bool_]) -> dict[str, float]:
    """Return by layer how likely it is that images whose labels differ are no further apart than others."""
    if min(differ.sum(), (~differ).sum()) < FEWEST:
        return {}
    from scipy.stats import mannwhitneyu

    plain: dict[str, float] = {}
    for name, each in found.items():
        values = np.array([one.relative for one in each])
        if len(values) == len(differ) and np.isfinite(values).all() and name != INPUT:
            plain[name] = float(mannwhitneyu(values[differ], values[~differ], alternative="greater").pvalue)
    return holm(plain)
