"""``mutatenn compare``: environments against each other, within one run or across several."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mutatenn.api.command import Command
from mutatenn.cli._layers import IMAGES, print_layers
from mutatenn.cli._originals import originals
from mutatenn.cli._text import titled
from mutatenn.errors import InputError
from mutatenn.host.hookspecs import hookimpl
from mutatenn.printable import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from mutatenn.analysis.environments.compared import MutantComparison
    from mutatenn.analysis.environments.comparison import Comparison
    from mutatenn.analysis.environments.sides import ComparedEnvironment
    from mutatenn.host.plugin_host import PluginHost
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
            return print_layers(runs, args, host)
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


def _sections(found: Comparison) -> Iterator[str]:
    yield _environments(found.sides)
    yield from originals(found)
    if len(found.mutated) > 1:
        yield _matrix(found)
        yield _diverging(found)


def _environments(sides: Sequence[ComparedEnvironment]) -> str:
    known = dict.fromkeys(key for side in sides for key in side.factors if key != "profile")
    factors = [key for key in known if len({side.factors.get(key) for side in sides}) > 1]
    head = ("environment", "backend", "profile", *factors, "mutants", "ms per image", "accuracy")
    rows = [head, *(_environment(side, factors) for side in sides)]
    return titled(f"{len(sides)} environments", rows, right=[-3, -2, -1])


def _environment(side: ComparedEnvironment, factors: Sequence[str]) -> Sequence[object]:
    facts = side.run.facts.get("environments", {}).get(side.environment, {})
    compiled = facts.get("backend", "?"), facts.get("profile") or "-"
    about = *compiled, *(side.factors.get(key, "-") for key in factors), len(side.planned) or "-"
    if side.baseline is None:
        return side.name, *about, "-", "-"
    accuracy = "-" if side.baseline.accuracy is None else f"{side.baseline.accuracy:.1%}"
    return side.name, *about, f"{1000 * side.baseline.seconds:.3g}", accuracy


def _matrix(found: Comparison) -> str:
    """Return a table of operators and environments: detected of valid."""
    names, diverging = [side.name for side in found.mutated], found.divergences
    rows = [
        (operator, *(_cell(scores.get(name)) for name in names), diverging[operator] or ".")
        for operator, scores in found.scores().items()
    ]
    total = ("all", *(_cell(side.run.score(side.environment)) for side in found.mutated), diverging.total())
    table = [("operator", *names, "diverging"), *rows, total]
    return titled("mutants detected / valid", table, right=range(1, len(names) + 2))


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


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [CompareCommand]
