"""What the sweeps over forms of operators share: what came of each, in a process of its own, and the page."""

from __future__ import annotations

import argparse
import math
import multiprocessing
import re
import signal
from collections import defaultdict
from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.evaluate import Evaluator
from mutatenn.errors import BuildError
from mutatenn_backends.llvm import Llvm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.pool import AsyncResult
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn import Model

RIGHT, REFUSED, WRONG = "right", "refused", "wrong"
BAD = (WRONG, "not built", "error", "crash or hang")
SECONDS, TASKS = 60, 40
"""What a form may take, and how many a process does."""
Named = tuple[str, str]
"""Operator and form."""


@attrs.frozen
class Outcome:
    """What came of a form."""

    verdict: str
    reason: str = ""


def of_refusal(error: Exception, path: Path) -> Outcome:
    """Return what came of a form that is refused: as it should be, in one line with a cure, or not."""
    said = str(error).removeprefix(f"{path}: ")
    return Outcome(REFUSED if "\n" not in said and "; " in said else "error", said)


def of_error(error: Exception) -> Outcome:
    """Return what came of a form where something else went wrong."""
    return Outcome("error", f"{type(error).__name__}: {error}".splitlines()[0][:200])


def image(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the image, in which no two numbers are alike, from 0 to 1."""
    numbers = np.random.default_rng(3).permutation(np.linspace(0.01, 0.99, math.prod(shape)))
    return numbers.reshape(shape).astype(np.float32)


def of_numbers(model: Model, given: NDArray[np.float32], expected: NDArray[np.float32]) -> Outcome:
    """Return what comes of an imported form: whether it is compiled, and computes what is expected."""
    evaluator = Evaluator(Llvm().open())
    try:
        program = evaluator.link(Toolchain(model, Llvm(), Profile()).program)
    except BuildError as error:
        return Outcome("not built", str(error).splitlines()[0][:200])
    found = evaluator.device.fetch(evaluator.original(program, given[0]).output).reshape(1, -1)
    if np.allclose(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True):
        return Outcome(RIGHT)
    return Outcome(WRONG, f"by {np.nanmax(abs(found - expected)):.2g}")


def limited(judge: Callable[[int], Outcome], number: int) -> Outcome:
    """Return what comes of the form of that number; the process ends if it takes too long."""
    signal.alarm(SECONDS)
    try:
        return judge(number)
    except Exception as error:  # the framework's own, or a bug
        return of_error(error)
    finally:
        signal.alarm(0)


def outcomes(
    forms: Sequence[Named], judge: Callable[[int], Outcome], only: str = ""
) -> Iterator[tuple[str, str, Outcome]]:
    """Yield operator, form and what came of it, of those whose names match."""
    wanted = [n for n, (operator, form) in enumerate(forms) if re.search(only, f"{operator} {form}")]
    with multiprocessing.get_context("spawn").Pool(maxtasksperchild=TASKS) as pool:
        waiting = [pool.apply_async(limited, (judge, number)) for number in wanted]
        for number, each in zip(wanted, waiting, strict=True):
            yield *forms[number], _got(each)


def _got(waiting: AsyncResult[Outcome]) -> Outcome:
    try:
        return waiting.get(2 * SECONDS)
    except multiprocessing.TimeoutError:
        return Outcome("crash or hang")


def page(introduction: str, found: Sequence[tuple[str, str, Outcome]]) -> str:
    """Return the page about the outcomes."""
    rows = defaultdict(list)
    for operator, form, outcome in found:
        rows[operator].append((form, outcome))
    verdicts = [outcome.verdict for _, _, outcome in found]
    text = introduction.format(total=len(found), right=verdicts.count(RIGHT), refused=verdicts.count(REFUSED))
    text += "| operator | right | refused | forms that are refused, and why |\n|---|---|---|---|\n"
    for operator, each in sorted(rows.items()):
        right = sum(outcome.verdict == RIGHT for _, outcome in each)
        refused = [(form, outcome) for form, outcome in each if outcome.verdict == REFUSED]
        why = "; ".join(f"`{form}`: {outcome.reason.partition(';')[0]}" for form, outcome in refused)
        counts = [str(count or "") for count in (right, len(refused))]
        text += f"| {operator.replace('|', 'or')} | {' | '.join(counts)} | {why.replace('|', '/')} |\n"
    return text


def listed_under(code: str) -> str:
    """Return what a form is listed under: the first function that it calls, or its first sign."""
    found = re.search(r"\.([a-z_0-9]+)\(", code)
    sign = re.search(r"\*\*|//|<<|[-+*/%@~|]", code)
    return found[1].rstrip("_") if found else sign[0] if sign else "indexing"


def split(*texts: str) -> list[str]:
    """Return the forms in texts in which a semicolon stands between them."""
    return [" ".join(form.split()) for text in texts for form in text.split(";")]


def main(
    about: str | None, place: Path, introduction: str, forms: Sequence[Named], judge: Callable[[int], Outcome]
) -> int:
    """Write the page, and tell what is not right; return 1 if something is not refused either."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="PATTERN", help="the forms whose names match")
    given = parser.parse_args()
    found = []
    for operator, form, outcome in outcomes(forms, judge, given.only):
        found.append((operator, form, outcome))
        if outcome.verdict != RIGHT:
            print(f"{outcome.verdict}: {operator}: {form}: {outcome.reason}", flush=True)
    bad = sum(outcome.verdict in BAD for _, _, outcome in found)
    print(f"{len(found)} forms, {bad} of them neither right nor refused")
    if not given.only:
        place.write_text(page(introduction, found))
    return int(bad > 0)
