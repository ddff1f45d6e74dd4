"""What commands say of thresholds: the options that set them, a line for each that failed, exit code 1."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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


def add_least(parser: argparse.ArgumentParser) -> None:
    """Declare ``--min-score`` and ``--min-low``."""
    parser.add_argument(
        "--min-score",
        metavar="S",
        help="exit with 1 if the mutation score of an environment is below S, 0 to 1, whatever the campaign "
        "file's [thresholds] say of it",
    )
    parser.add_argument(
        "--min-low", metavar="S", help="the same of the low end of the score's interval, where it is sampled"
    )


def least(args: argparse.Namespace) -> tuple[float | None, float | None]:
    """Return the options' values; raises InputError for anything but a share."""
    return _share("--min-score", args.min_score), _share("--min-low", args.min_low)


def _share(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"{name} takes a number from 0 to 1, not {text!r}")
    return value


def demanding(run: Run, least: tuple[float | None, float | None]) -> Run:
    """Return the run with the options in the place of the campaign's own thresholds."""
    min_score, min_low = least
    return attrs.evolve(run, min_score=min_score, min_low=min_low)


def conclude(run: Run, failed: Sequence[Failed], *, told: bool) -> int:
    """Return the exit code; name what failed on standard error, unless it is told elsewhere."""
    waiting = sum(sum(run.waiting(name).values()) for name in run.environments)
    if waiting and run.stop is None and (run.min_score, run.min_low) != (None, None):
        ran = run.score().judged
        tell(f"{waiting} of {ran + waiting} mutants have not run, so the gate is of the {ran} that have")
    for each in () if told else failed:
        print(f"mutatenn: {printable(each)}", file=sys.stderr)
    return BELOW if failed else 0
