"""What plugins return to a campaign, checked against their contracts; a broken one is a PluginError."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.values import Model, TensorSpec
from mutatenn.border import broken, calling, is_built_in, named
from mutatenn.campaign.one_score import TwoScores, with_two_scores
from mutatenn.compiler import ir
from mutatenn.compiler.mutators import Descriptions
from mutatenn.compiler.outline import bindings
from mutatenn.engine.probe import probe
from mutatenn.errors import InputError, PluginError
from mutatenn.printable import one_line
from mutatenn.results.oracles import is_array, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.api.capability import Capability
    from mutatenn.api.comparator import Comparator
    from mutatenn.api.frontend import Frontend
    from mutatenn.api.mutator import Mutator
    from mutatenn.api.values import Scores
    from mutatenn.campaign.config.values import ScoreKind

TRIED_SECONDS, TRIED_BYTES = 300.0, 3 * 2**30
"""What a plugin may take where it is tried in a process of its own."""
MOST_SITES = 10_000_000
"""Sites of one operator in one unit; a list without an end is a mistake."""
LARGEST_VALUE = 2**29
"""Elements of one value of a model, for one image."""
LONGEST_SITE = 1000
"""Characters of a site's description."""


def load_model(
    frontend: Frontend, path: Path, kind: ScoreKind = "auto", threshold: float | None = None
) -> Model:
    """Return the model that a frontend imports, one score made two as :func:`with_two_scores` does it.

    Raises PluginError unless its parts agree.
    """
    with calling(frontend, "load"):
        found = frontend.load(path)
    if not isinstance(found, Model):
        raise broken(frontend, "load", "a mutatenn.Model", found)
    with calling(frontend, "load"):  # specs may be anything, and fail when looked at
        problem = _problem(found)
    if problem:
        raise PluginError(f"{named(frontend)}: load returned a model {problem}")
    _check_sizes(found.module["main"], path)
    return with_two_scores(found, kind, threshold)


def _check_sizes(main: Any, path: Path) -> None:
    """Raise InputError for a value that no machine should be asked for."""
    for variable in (*main.params, *(binding.var for binding in bindings(main))):
        sizes = [getattr(size, "value", 1) for size in getattr(variable.ty, "shape", None) or ()]
        if math.prod(map(int, sizes)) > LARGEST_VALUE:
            shape = "x".join(map(str, sizes))
            what = f"its value {one_line(variable.name)!r} has {shape} elements"
            raise InputError(f"{path}: {what}, at most {LARGEST_VALUE} are supported; use smaller images")


def _problem(model: Model) -> str:
    """Return how the parts of a model do not go together, "" if they do."""
    for spec in (model.input, model.output):
        if not (isinstance(spec, TensorSpec) and isinstance(spec.name, str) and _fixed(spec.shape)):
            return "whose input and output are not TensorSpecs of fixed sizes"
        if np.dtype(spec.dtype).kind not in "fiu":
            return f"of {spec.dtype}, which is no number"
    if model.input.shape[0] != 1 or len(model.output.shape) != 2 or model.output.shape[0] != 1:  # noqa: PLR2004
        return f"from {model.input} to {model.output}, not from one image to [1, classes]"
    if not all(isinstance(text, str) and text for text in (model.name, model.digest)):
        return "without a name or a digest"
    if not isinstance(model.module, ir.tvm.IRModule):
        return f"whose module is no IRModule but a {type(model.module).__name__}"
    main = model.module["main"]
    types = [*(parameter.ty for parameter in main.params), main.ret_ty]
    given = [(tuple(map(int, each.shape)), str(each.dtype)) for each in types]
    wanted = [(tuple(spec.shape), str(np.dtype(spec.dtype))) for spec in (model.input, model.output)]
    return "" if given == wanted else f"whose main does not go from {model.input} to {model.output}"


def _fixed(shape: object) -> bool:
    return isinstance(shape, tuple) and bool(shape) and all(type(size) is int and size > 0 for size in shape)


def run_reference(frontend: Frontend, model: Model, images: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return what the model's own framework gives, float32 ``[images, classes]``; raises PluginError.

    What a framework gives to a frontend of ours may have another shape: that is for the gate to tell.
    """
    asked = model.single if isinstance(model, TwoScores) else model
    with calling(frontend, "reference"):
        found = frontend.reference(asked, images)
    shape = (len(images), asked.output.shape[1])
    given = found.shape if is_built_in(type(frontend)) and isinstance(found, np.ndarray) else shape
    if not is_array(found, "f", given):
        raise broken(frontend, "reference", f"a float32 array {list(shape)}", found)
    scores = np.asarray(found, np.float32)
    return model.both(scores) if isinstance(model, TwoScores) and scores.shape == shape else scores


def try_oracles(oracles: Iterable[Comparator], original: Scores) -> None:
    """Have oracles that are not built in measure the original in a process of their own.

    Raises PluginError for one that crashes or hangs there, or takes too much memory.
    """
    for oracle in oracles:
        _try(oracle, "measure", functools.partial(measured, oracle, original, original))


def sites(mutator: Mutator, units: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Return the descriptions of the sites by unit, one line each; raises PluginError.

    An operator that is not built in is tried in a process of its own first.
    """

    def find() -> dict[str, Sequence[str]]:
        return {name: _sites(mutator, unit) for name, unit in units.items()}

    _try(mutator, "sites", find)
    return find()


def _try(plugin: Capability, method: str, call: Callable[[], object]) -> None:
    """Raise PluginError for a third party's plugin whose process crashes, hangs or takes too much memory."""
    if not is_built_in(type(plugin)) and (ending := probe(call, TRIED_SECONDS, TRIED_BYTES)):
        raise PluginError(f"{named(plugin)}: {method} {ending}")


def _sites(mutator: Mutator, unit: Any) -> Sequence[str]:
    with calling(mutator, "sites"):
        found = mutator.sites(unit)
        if isinstance(found, Descriptions):  # our own, made when they are read
            return found
        sequence = isinstance(found, Sequence) and not isinstance(found, str | bytes)
        listed = list(islice(found, MOST_SITES + 1)) if sequence else []
    if not sequence or not all(isinstance(each, str) for each in listed):
        raise broken(mutator, "sites", "a sequence of strings", found)
    if len(listed) > MOST_SITES:
        raise PluginError(f"{named(mutator)}: sites gave more than {MOST_SITES} sites")
    return [one_line(each[:LONGEST_SITE]) for each in listed]


def absence(mutator: Mutator, units: Sequence[Any]) -> str:
    """Return why an operator has no site, on one line; raises PluginError."""
    with calling(mutator, "absence"):
        found = mutator.absence(units)
    if not isinstance(found, str):
        raise broken(mutator, "absence", "a string", found)
    return one_line(found[:LONGEST_SITE])


def plain_options(mutator: Mutator) -> dict[str, Any]:
    """Return an operator's options, which its mutants are stored with; raises PluginError."""
    found = attrs.asdict(mutator) if attrs.has(type(mutator)) else {}
    try:
        json.dumps(found)
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"{named(mutator)} has options that a campaign file cannot hold: {error}"
        ) from error
    return found
