"""What commands say of thresholds: the options that set them, a line for each that failed, exit code 1."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.cli._streams import tell
from mutatenn.errors import InputError
from mutatenn.printable import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from mutatenn.results.run import Run
    from mutatenn.results.thresholds import Failed

BELOW = 1
TELLING = "terminal"
"""The reporter that begins with the thresholds that failed."""
LEAST = {
    "min_low": "the low end of the score's interval, where it is sampled",
    "min_valid": "the share of mutants that have a verdict",
    "min_relative_accuracy": "the original's accuracy as a share of the framework's",
}
MOST = {
    "max_new_survivors": "survivors that are neither accepted nor in the run of --against",
    "max_timed_out": "mutants that timed out",
    "max_build_errors": "mutants that could not be built",
    "max_infrastructure_errors": "mutants that ended because the machinery failed",
    "max_label_changes": "images whose label is not the framework's",
}


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """Declare an option for each threshold, and ``--against``."""
    group = parser.add_argument_group(
        "thresholds",
        "exit with 1 if an environment does not reach one, whatever the campaign file says of it",
    )
    group.add_argument(
        "--min-score",
        metavar="[NAME=]S",
        action="append",
        default=[],
        help="the least mutation score, 0 to 1, of all or of an operator or category; may be repeated",
    )
    for name, told in LEAST.items():
        group.add_argument(_option(name), metavar="S", help=f"the least, 0 to 1: {told}")
    for name, told in MOST.items():
        group.add_argument(_option(name), metavar="N", help=f"the most {told}")
    parser.add_argument(
        "--against", metavar="RUN", help="the run directory of an earlier run: tell what is different since"
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def demands(args: argparse.Namespace) -> dict[str, Any]:
    """Return the thresholds that options set, by name; raises InputError for anything but a number."""
    found: dict[str, Any] = {}
    scores = [_named(text) for text in args.min_score]
    if scores:
        found["min_score"] = dict(scores)
    for name in LEAST:
        if (text := getattr(args, name)) is not None:
            found[name] = _share(_option(name), text)
    for name in MOST:
        if (text := getattr(args, name)) is not None:
            found[name] = _number(_option(name), text)
    return found


def _named(text: str) -> tuple[str, float]:
    from mutatenn.results.wanted import ALL

    name, equals, share = text.rpartition("=")
    return (name if equals else ALL), _share("--min-score", share)


def _share(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"{name} takes a number from 0 to 1, not {text!r}")
    return value


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{name} takes a number of mutants, 0 or more, not {text!r}")
    return int(text)


def earlier(args: argparse.Namespace) -> Run | None:
    """Return the run of ``--against``; raises InputError where there is none."""
    import mutatenn

    return None if args.against is None else mutatenn.open_run(args.against)


def demanding(run: Run, wanted: dict[str, Any], against: Run | None) -> Run:
    """Return the run with the options in the place of the campaign's own thresholds.

    Raises InputError for a score of an operator or category that the run does not have.
    """
    from mutatenn.nearest import unknown_name
    from mutatenn.results.wanted import ALL

    planned = [entry for name in run.environments for entry in run.operators(name)]
    known = [ALL, *sorted({each for entry in planned for each in (entry.operator, entry.category)})]
    for name in wanted.get("min_score", ()):
        if name not in known:
            raise InputError(f"--min-score: {unknown_name('operator or category', name, known)}")
    if against and not set(run.environments) & set(against.environments):
        names = ", ".join(run.environments)
        raise InputError(f"--against: {against.directory} has no environment of this run, which has {names}")
    return attrs.evolve(run, demands=wanted, against=against)


def conclude(run: Run, failed: Sequence[Failed], *, told: bool) -> int:
    """Return the exit code; name what failed on standard error, unless it is told elsewhere."""
    waiting = sum(sum(run.waiting(name).values()) for name in run.environments)
    if waiting and run.stop is None and run.demands:
        ran = run.score().judged
        tell(f"{waiting} of {ran + waiting} mutants have not run, so the gate is of the {ran} that have")
    for each in () if told else failed:
        print(f"mutatenn: {printable(each)}", file=sys.stderr)
    return BELOW if failed else 0
