"""``mutatenn compare``: environments against each other, within one run or across several."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.command import Command
from mutatenn.cli._text import columns, some
from mutatenn.errors import InputError
from mutatenn.host.hookspecs import hookimpl
from mutatenn.json_values import jsonable
from mutatenn.printable import counted, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from mutatenn.analysis.environments.compared import MutantComparison
    from mutatenn.analysis.environments.comparison import Comparison, Floor
    from mutatenn.analysis.environments.flips import Flip, Flips
    from mutatenn.analysis.environments.sides import ComparedEnvironment
    from mutatenn.analysis.environments.times import TimeRatio, TimeSummary
    from mutatenn.analysis.layers.compare import LayerComparison, LayerDifference
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.run import Run
    from mutatenn.results.score import MutationScore

EPILOG = """
Of originals it tells, for all pairs of up to six environments, and of more against the first, how many images
have another label, how many of these were right in the first and are wrong in the second (lost), or the other
way round (won), where the true classes are known; the largest difference of a score; and the second's time
per image over the first's, or by how much of the first's it is faster. FAILED is one that may fail and did.

Where [time] has measured them, times of an image stand as median, 90th and 99th percentile, standard
deviation over mean, the ratio of medians to the first environment's with its 95 % bootstrap interval, p
(Wilcoxon's signed-rank test, corrected by Holm) and the effect (Cliff's delta: above 0 is slower, 1 always).

With --layers, two environments (of one run, or one of each of two) are run again, and what they compute at
each layer is compared, layouts aside: the largest and mean absolute difference, the largest over the layer's
largest value (beyond 0.001: *), the signal to noise ratio and the cosine of the worst image, the same of the
layer's parameters, and p, the chance that images whose labels differ are no further apart there
(Mann-Whitney, Holm). Layers that are fused with the next have no result of their own. With --json, an object:
first, second, images, layers (these numbers, and growth: relative over that of the worst layer before),
unmatched, floor, suspects.

A mutant diverges where it behaved differently in two environments: killed here, unnoticed there; crashed
here, killed there. It differs where it diverges, or where the kill oracle notices more of a difference
between its outputs in two environments than between the originals'. With --json, an object as in
device_evaluation.json, which docs/report-schema.md describes.
"""
SHOWN = 10
SUSPECTS = 5
IMAGES = 8
"""That layers are compared on."""
FEW = 6
"""Environments of which all pairs are told."""


class CompareCommand(Command):
    """Compare environments: how far their originals are apart, what is killed here and survives there."""

    name = "compare"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("runs", metavar="RUN", nargs="+", help="a run directory; all of the same images")
        parser.add_argument(
            "--environment", metavar="NAME", action="append", default=[], help="one of these; may be repeated"
        )
        parser.add_argument(
            "--discrepancies", action="store_true", help="only the mutants that differ, all of them"
        )
        parser.add_argument(
            "--layers",
            action="store_true",
            help="run two environments again, and compare what they compute at each layer",
        )
        parser.add_argument(
            "--images", metavar="N", help=f"of --layers: on the first so many images (default: {IMAGES})"
        )
        parser.add_argument("--json", action="store_true", help="print an object, every mutant in it")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print the comparison."""
        import mutatenn
        from mutatenn.analysis.environments.comparison import compare

        runs = [mutatenn.open_run(path) for path in args.runs]
        if args.layers:
            return _compare_layers(runs, args, host)
        if args.images is not None:
            raise InputError("--images goes with --layers; give both")
        deep = args.json or args.discrepancies  # what is printed else needs labels and scores only
        found = compare(runs, None if deep else {}, environments=args.environment, host=host)
        if args.json:
            from mutatenn.analysis.environments.document import comparison_document

            sys.stdout.writelines(comparison_document(found, "differing" if args.discrepancies else "all"))
        elif args.discrepancies:
            sys.stdout.writelines(_differing(found))
        else:
            print("\n\n".join(_sections(found)))
        return 0


def _compare_layers(runs: Sequence[Run], args: argparse.Namespace, host: PluginHost) -> int:
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
    lines = [_table(title, [head, *rows], right=range(3, len(head)))]
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


def _sections(found: Comparison) -> Iterator[str]:
    yield _environments(found.sides)
    yield _against_first(found) if len(found.sides) > FEW else _originals(found)
    if failed := {side.name: why for side in found.sides if (why := side.failure)}:
        yield "\n".join(printable(f"{name} failed: {why}") for name, why in failed.items())
    if found.times():
        yield _times(found)
    if len(found.sides) > 2:  # noqa: PLR2004  # the table of pairs tells of two
        yield _dissimilarity(found)
    if flipped := [each for each in found.flips() if each.images]:
        yield _flips(flipped)
    if len(found.mutated) > 1:
        yield _matrix(found)
        yield _diverging(found)


def _environments(sides: Sequence[ComparedEnvironment]) -> str:
    known = dict.fromkeys(key for side in sides for key in side.factors if key != "profile")
    factors = [key for key in known if len({side.factors.get(key) for side in sides}) > 1]
    head = ("environment", "backend", "profile", *factors, "mutants", "ms per image", "accuracy")
    rows = [head, *(_environment(side, factors) for side in sides)]
    return _table(f"{len(sides)} environments", rows, right=[-3, -2, -1])


def _environment(side: ComparedEnvironment, factors: Sequence[str]) -> Sequence[object]:
    facts = side.run.facts.get("environments", {}).get(side.environment, {})
    compiled = facts.get("backend", "?"), facts.get("profile") or "-"
    about = *compiled, *(side.factors.get(key, "-") for key in factors), len(side.planned) or "-"
    if side.baseline is None:
        return side.name, *about, "-", "-"
    accuracy = "-" if side.baseline.accuracy is None else f"{side.baseline.accuracy:.1%}"
    return side.name, *about, f"{1000 * side.baseline.seconds:.3g}", accuracy


def _originals(found: Comparison) -> str:
    if not found.floors:
        return "no two originals have run yet; `mutatenn run` continues"
    head = ("first", "second", "labels differ", "lost", "won", "largest difference", "time ratio")
    rows: list[Sequence[object]] = [head]
    rows += [_floor(*each) for each in zip(found.floors, found.flips(), strict=True)]
    if not any(flips.images for flips in found.flips()):
        rows = [[*row[:3], *row[5:]] for row in rows]  # neither lost nor won
    return _table("originals: the noise floor", rows, right=range(2, len(rows[0])))


def _floor(floor: Floor, flips: Flips) -> Sequence[object]:
    apart = floor.distance
    largest = "not finite" if apart.largest is None else f"{apart.largest:.2g}"
    ratio = "-" if floor.ratio is None else f"{floor.ratio:.2f}"
    labels = f"{apart.labels} of {apart.images}", flips.lost or ".", flips.won or "."
    return floor.first, floor.second, *labels, largest, ratio


def _against_first(found: Comparison) -> str:
    """Return how the originals of many environments stand to the first's, and how much faster they are."""
    first, *others = found.sides
    pairs = zip(found.floors, found.flips(), strict=True)
    told = {floor.second: (floor, flips) for floor, flips in pairs if floor.first == first.name}
    rows = [(side.name, *_compared(side, told.get(side.name))) for side in others]
    head = ("environment", "faster, %", "labels differ", "lost", "won", "largest difference")
    return _table(f"originals against {first.name}", [head, *rows], right=range(1, len(head)))


def _compared(side: ComparedEnvironment, told: tuple[Floor, Flips] | None) -> Sequence[object]:
    from mutatenn.analysis.environments.times import gain

    if told is None:
        return "FAILED" if side.failure else "-", "", "", "", ""
    floor, flips = told
    _, _, *numbers, _ = _floor(floor, flips)
    return "-" if floor.ratio is None else f"{gain(1, floor.ratio):.1f}", *numbers


def _times(found: Comparison) -> str:
    """Return how long the originals take, and how that stands to the first's."""
    times = found.times()
    first = times[0].environment
    against = {each.second: each for each in found.time_ratios() if each.first == first}
    rows = [_time(each, against.get(each.environment)) for each in times]
    head = (
        "environment",
        "median ms",
        "p90",
        "p99",
        "variation",
        f"of {first}'s",
        "from",
        "to",
        "p",
        "effect",
        "",
    )
    title = f"times of an image, {times[0].repeats} x {counted(times[0].images, 'image')}, in turns"
    return _table(title, [head, *rows], right=range(1, len(head) - 1))


def _time(each: TimeSummary, against: TimeRatio | None) -> Sequence[object]:
    numbers = (f"{1000 * seconds:.3g}" for seconds in (each.median, each.p90, each.p99))
    busy = "busy machine" if each.busy else ""
    if against is None:
        return each.environment, *numbers, f"{each.variation:.0%}", "", "", "", "", "", busy
    ratio = (f"{value:.3f}" for value in (against.ratio, against.low, against.high))
    told = f"{against.p:.2g}", f"{against.effect:+.2f}"
    return each.environment, *numbers, f"{each.variation:.0%}", *ratio, *told, busy


def _dissimilarity(found: Comparison) -> str:
    """Return the triangle of how many images have other labels, in percent."""
    names, shares = [side.name for side in found.sides], found.dissimilarity()
    if not (shares > 0).any():
        return "no label differs between any two of them"
    rows = [
        (name, *("-" if math.isnan(share) else f"{share:.3g}" for share in shares[row, : row + 1]))
        for row, name in enumerate(names)
    ]
    wide = [(*row, *[""] * (len(names) + 1 - len(row))) for row in rows]
    head = ("", *(str(number + 1) for number in range(len(names))))
    numbered = [(f"{number} {row[0]}", *row[1:]) for number, row in enumerate(wide, 1)]
    return _table("images with another label, %", [head, *numbered], right=range(1, len(names) + 1))


def _flips(found: Sequence[Flips]) -> str:
    """Return the images whose labels differ, the surest first."""
    rows = [(each.first, each.second, *_flip(flip)) for each in found for flip in each.images]
    head = ("first", "second", "image", "truth", "label", "then", "confidence", "then")
    title = "images whose labels differ, those first that were the surest"
    more = f"\n  and {len(rows) - SHOWN} more; --json lists all" if len(rows) > SHOWN else ""
    return _table(title, [head, *rows[:SHOWN]], right=range(3, len(head))) + more


def _flip(flip: Flip) -> Sequence[object]:
    labels = ("-" if each is None else each for each in (flip.truth, flip.first, flip.second))
    sure = (
        "-" if each is None else f"{each:.2f}" for each in (flip.first_confidence, flip.second_confidence)
    )
    return flip.image, *labels, *sure


def _matrix(found: Comparison) -> str:
    """Return a table of operators and environments: detected of valid."""
    names, diverging = [side.name for side in found.mutated], found.divergences
    rows = [
        (operator, *(_cell(scores.get(name)) for name in names), diverging[operator] or ".")
        for operator, scores in found.scores().items()
    ]
    total = ("all", *(_cell(side.run.score(side.environment)) for side in found.mutated), diverging.total())
    table = [("operator", *names, "diverging"), *rows, total]
    return _table("mutants detected / valid", table, right=range(1, len(names) + 2))


def _cell(score: MutationScore | None) -> str:
    return f"{score.detected}/{score.valid}" if score and any(score.counts.values()) else "-"


def _diverging(found: Comparison) -> str:
    number = found.divergences.total()
    told = f"{number} mutant{'s' * (number != 1)} did not end alike"
    if not number:
        return told
    lines = [line for each in found.diverging(SHOWN) for line in _told(each)]
    more = f"\n  and {number - SHOWN} more; --discrepancies lists all" if number > SHOWN else ""
    return f"{told}{', most notable first' * (number > 1)}\n" + "\n".join(lines) + more


def _differing(found: Comparison) -> Iterator[str]:
    """Yield every mutant that differs."""
    number = 0
    for each in found.mutants():
        if each.differs:
            number += 1
            yield "".join(f"{line}\n" for line in _told(each))
    yield f"{number} mutant{'s' * (number != 1)} that differ{'s' * (number == 1)}\n"


def _told(compared: MutantComparison) -> list[str]:
    return [f"  {printable(compared.mutant.id)}", f"    {printable(compared.reason)}"]


def _table(title: str, rows: Sequence[Sequence[object]], right: Sequence[int]) -> str:
    return "\n".join([title, *(f"  {line}" for line in columns(rows, right=right).splitlines())])


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [CompareCommand]
