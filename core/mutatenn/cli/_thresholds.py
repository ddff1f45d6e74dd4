"""What commands say of thresholds: the option ``--min-score``, a line for each that failed, exit code 1."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs

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


def add_min_score(parser: argparse.ArgumentParser) -> None:
    """Declare ``--min-score``."""
    parser.add_argument(
        "--min-score",
        metavar="S",
        help="exit with 1 if the mutation score of an environment is below S, 0 to 1, whatever the campaign "
        "file's [thresholds] say of it",
    )


def min_score(args: argparse.Namespace) -> float | None:
    """Return the option's value; raises InputError for anything but a share."""
    if args.min_score is None:
        return None
    try:
        value = float(args.min_score)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"--min-score takes a number from 0 to 1, not {args.min_score!r}")
    return value


def demanding(run: Run, least: float | None) -> Run:
    """Return the run with the option in the place of the campaign's own least score."""
    return attrs.evolve(run, min_score=least)


def conclude(failed: Sequence[Failed], *, told: bool) -> int:
    """Return the exit code; name what failed on standard error, unless it is told elsewhere."""
    for each in () if told else failed:
        print(f"mutatenn: {printable(each)}", file=sys.stderr)
    return BELOW if failed else 0
