"""Checks for plugin authors to call in their tests; a broken promise is an AssertionError that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mutatenn.api.values import Scores
from mutatenn.compiler import ir
from mutatenn.errors import PluginError
from mutatenn.host.admission import check_capability
from mutatenn.host.plugin_host import PluginHost

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from mutatenn.api.capability import Kind
    from mutatenn.api.comparator import Comparator
    from mutatenn.api.mutator import Mutator
    from mutatenn.api.values import Example

SHAPES = ((6, 10), (3, 1), (0, 10))
"""Shapes ``[images, classes]`` that a comparator must cope with."""
ROUNDING = 1e-9


def check_plugin_module(module: ModuleType) -> None:
    """Check that the host accepts a plugin module, then every mutator and comparator in it."""
    host = PluginHost()
    try:
        host.register(module, module.__name__)
    except PluginError as error:
        raise AssertionError(f"{module.__name__}: {error}") from error
    marked = [value for value in vars(module).values() if hasattr(value, "mutatenn_impl")]
    _require(bool(marked), f"{module.__name__} marks at least one hook with @hookimpl")
    for mutator in host.mutators().values():
        check_mutator(mutator)
    for comparator in host.comparators().values():
        check_comparator(comparator)


def check_mutator(cls: type[Mutator]) -> None:
    """Check an operator with its default options, on its own examples.

    They hold; sites are described on one line each, always the same; applying is deterministic, changes
    something at every site, leaves its argument alone, and raises IndexError where there is no site.
    """
    _check_capability("mutator", cls)
    _require((cls.level == "graph") == (cls.stage == "graph"), f"{cls.name}: stage suits level {cls.level}")
    examples = list(cls.examples())
    _require(bool(examples), f"{cls.name} has at least one example")
    for number, example in enumerate(examples):
        _check_example(cls(), example, f"{cls.name}, example {number}")


def _check_example(mutator: Mutator, example: Example, title: str) -> None:
    before, pristine, after = map(ir.script.from_source, (example.before, example.before, example.after))
    sites = list(mutator.sites(before))
    _require(
        all(isinstance(site, str) and len(site.splitlines()) == 1 for site in sites),
        f"{title}: sites are lines",
    )
    _require(
        set(example.sites) <= set(range(len(sites))), f"{title}: sites {example.sites} are among {sites}"
    )
    changed = mutator.apply(before, example.sites)
    _require(_same(changed, after), f"{title}: applying gives the promised code, not\n{changed}")
    _require(not _same(pristine, after), f"{title}: before and after differ")
    _require(_same(mutator.apply(before, example.sites), changed), f"{title}: applying again gives the same")
    for site in range(len(sites)):
        one = mutator.apply(before, (site,))
        _require(not _same(one, pristine), f"{title}: site {site} ({sites[site]}) can be changed")
    for site in (-1, len(sites)):
        _require(_refuses(mutator, before, site), f"{title}: site {site} of {len(sites)} raises IndexError")
    _require(_same(before, pristine), f"{title}: the argument is not modified")
    _require(list(mutator.sites(before)) == sites, f"{title}: sites are the same every time")


def _same(one: Any, other: Any) -> bool:
    return bool(ir.ffi.structural_equal(one, other))


def _refuses(mutator: Mutator, unit: Any, site: int) -> bool:
    try:
        mutator.apply(unit, (site,))
    except IndexError:
        return True
    return False


def check_comparator(cls: type[Comparator]) -> None:
    """Check an oracle with its default options, on random scores of both kinds and several shapes.

    It returns one float64 per image, judges each image by itself and always the same, leaves its arguments
    alone, measures nothing worse than an unchanged output and does not notice that, and measures NaN for
    exactly those images whose candidate is not finite.
    """
    _check_capability("comparator", cls)
    kinds: tuple[Literal["probabilities", "logits"], ...] = ("probabilities", "logits")
    for kind in kinds:
        for shape in SHAPES:
            title = f"{cls.name} on {kind} {list(shape)}"
            original, candidate = (_scores(kind, shape, seed) for seed in (1, 2))
            _check_measure(cls(), original, candidate, title)
            _check_identity(cls(), original, candidate, title)
            _check_damage(cls(), original, candidate, title)


def _scores(kind: Literal["probabilities", "logits"], shape: tuple[int, int], seed: int) -> Scores:
    logits = Scores(np.random.default_rng(seed).normal(size=shape).astype(np.float32), "logits")
    return logits if kind == "logits" else Scores(logits.probabilities().astype(np.float32), kind)


def _check_measure(comparator: Comparator, original: Scores, candidate: Scores, title: str) -> None:
    copies = original.values.copy(), candidate.values.copy()
    values = comparator.measure(original, candidate)
    _require(values.dtype == np.float64, f"{title}: measures are float64, not {values.dtype}")
    _require(values.shape == original.values.shape[:1], f"{title}: one measure per image, not {values.shape}")
    _require(np.array_equal(values, comparator.measure(original, candidate)), f"{title}: always the same")
    unchanged = np.array_equal(copies[0], original.values) and np.array_equal(copies[1], candidate.values)
    _require(unchanged, f"{title}: the arguments are not modified")
    alone = [comparator.measure(_row(original, row), _row(candidate, row)) for row in range(len(values))]
    each = np.concatenate([np.zeros(0), *alone])
    _require(
        np.allclose(values, each, rtol=ROUNDING), f"{title}: an image's measure does not depend on others"
    )


def _row(scores: Scores, row: int) -> Scores:
    return Scores(scores.values[row : row + 1], scores.kind)


def _check_identity(comparator: Comparator, original: Scores, candidate: Scores, title: str) -> None:
    best = comparator.measure(original, original)
    _require(bool(np.isfinite(best).all()), f"{title}: an unchanged output has a finite measure")
    _require(not comparator.noticed(best).any(), f"{title}: an unchanged output is not noticed")
    gap = comparator.measure(original, candidate) - best
    badness = gap if comparator.worse == "higher" else -gap
    _require(bool((badness >= -ROUNDING).all()), f"{title}: nothing measures better than an unchanged output")


def _check_damage(comparator: Comparator, original: Scores, candidate: Scores, title: str) -> None:
    expected = comparator.measure(original, candidate)
    for bad in (np.nan, np.inf, -np.inf):
        values: NDArray[Any] = candidate.values.copy()
        values[:1, :1] = bad
        expected[:1] = np.nan
        found = comparator.measure(original, Scores(values, candidate.kind))
        _require(
            np.array_equal(found, expected, equal_nan=True), f"{title}: {bad} measures NaN, in its row only"
        )


def _check_capability(kind: Kind, cls: type[Any]) -> None:
    try:
        check_capability(kind, cls)
    except PluginError as error:
        raise AssertionError(str(error)) from error


def _require(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(f"not true: {promise}")
