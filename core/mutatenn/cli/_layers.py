"""``mutatenn compare --layers``: two environments layer by layer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from mutatenn.cli._text import some, titled
from mutatenn.errors import InputError
from mutatenn.json_values import jsonable
from mutatenn.printable import counted, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from mutatenn.analysis.layers.compare import LayerComparison, LayerDifference
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.run import Run

IMAGES = 8
"""That layers are compared on."""
SUSPECTS, SHOWN = 5, 10


def print_layers(runs: Sequence[Run], args: argparse.Namespace, host: PluginHost) -> int:
    """Print two environments layer by layer."""
    from mutatenn.analysis.layers.compare import compare_layers

    first, second = _pair(runs, args.environment)
    found = compare_layers(runs, first, second, images=_number(args.images), host=host)
    if args.json:
        told = {**attrs.asdict(found), "suspects": [each.layer for each in found.suspects]}
        print(json.dumps(jsonable(told), indent=1))
    else:
        print(_layers(found))
    return 0


def _number(text: str | None) -> int:
    if text is None:
        return IMAGES
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise InputError(f"--images takes a number of images, 1 or more, not {text!r}")
    return int(text)


def _pair(runs: Sequence[Run], names: Sequence[str]) -> tuple[str, str]:
    """Return the two environments to compare: those that are named, or the only ones there are."""
    if len(runs) > 2:  # noqa: PLR2004  # one from each
        raise InputError("--layers compares two environments, of one run or of two; name two runs at most")
    known = [name for run in runs for name in run.environments]
    chosen = list(names) or known
    if len(runs) == 2 and len(names) == 1:  # noqa: PLR2004  # the same in both
        chosen = [names[0], names[0]]
    if len(chosen) != 2:  # noqa: PLR2004
        raise InputError(
            f"--layers compares two environments; name two by --environment, of {', '.join(known)}"
        )
    return chosen[0], chosen[1]


def _layers(found: LayerComparison) -> str:
    rows = [_layer(each, found.floor) for each in found.layers]
    head = ("", "layer", "shape", "max abs", "mean abs", "relative", "SQNR dB", "cosine", "parameters", "p")
    title = f"{found.second} against {found.first}, layer by layer, on {counted(len(found.images), 'image')}"
    lines = [titled(title, [head, *rows], right=range(3, len(head)))]
    if found.suspects:
        named = ", ".join(f"{each.layer} (x {each.growth:.3g})" for each in found.suspects[:SUSPECTS])
        first = found.first_beyond
        assert first is not None  # noqa: S101  # one of them
        lines.append(printable(f"first beyond {found.floor:g} of a layer's values: {first.layer}"))
        lines.append(printable(f"the difference grows most at: {named}"))
    else:
        lines.append(f"no layer is further apart than {found.floor:g} of its largest value")
    if found.unmatched:
        lines.append(printable(f"in one of the two alone, or fused: {some(found.unmatched, SHOWN)}"))
    return "\n".join(lines)


def _layer(each: LayerDifference, floor: float) -> Sequence[object]:
    mark = "*" if each.relative > floor else ""
    numbers = (each.max_abs, each.mean_abs, each.relative)
    parameters = "-" if each.parameters is None else f"{each.parameters:.2g}"
    chance = "-" if each.p is None else f"{each.p:.2g}"
    shape = "x".join(map(str, each.shape))
    told = (*(f"{number:.2g}" for number in numbers), f"{each.sqnr:.3g}", f"{each.cosine:.6f}")
    return mark, each.layer, shape, *told, parameters, chance
