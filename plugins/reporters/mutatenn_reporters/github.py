"""The github reporter: annotations and a step summary, where GitHub Actions runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn import InputError, Reporter, Status, closest_survivors, hookimpl
from mutatenn_reporters._endings import clause
from mutatenn_reporters._repository import place
from mutatenn_reporters._text import count, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mutatenn import Run
    from mutatenn_reporters._repository import Place

LARGEST = 2**20 - 2**12
"""Bytes of a step's summary: GitHub throws away a larger one, whole."""
MOST = 9
"""Annotations of a kind that a step shows is ten; the tenth says how many more there are."""
LONGEST = 1000


@attrs.define(kw_only=True, eq=False)
class GitHub(Reporter):
    """Prints annotations (workflow commands) and adds the page of ``markdown`` to the step's summary.

    Thresholds that failed are errors, the survivors that came closest are warnings, both at the line of the
    campaign file that asks for their operator. Does nothing where ``GITHUB_ACTIONS`` is not ``true``.
    """

    name: ClassVar[str] = "github"

    def report(self, run: Run, directory: Path) -> str:  # noqa: ARG002  # it writes where GitHub says
        """Add to the file that ``GITHUB_STEP_SUMMARY`` names; return the annotations.

        Raises InputError if it cannot be written.
        """
        if os.environ.get("GITHUB_ACTIONS") != "true":
            return (
                "github: nothing to annotate, since GITHUB_ACTIONS is not true; `--reporter markdown` "
                "writes the page into a file"
            )
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            _summarise(run, path)
        return "\n".join(workflow_commands(run, place(run)))


def _summarise(run: Run, path: str) -> None:
    from mutatenn_reporters._summary import summary

    try:
        with open(path, "ab") as file:
            room = LARGEST - file.tell()
            for each in summary(run):
                piece = f"{each}\n\n".encode()
                room -= len(piece)
                if room < 0:
                    file.write(b"and more; see the report\n")
                    break
                file.write(piece)
    except OSError as error:
        raise InputError(
            f"cannot write GITHUB_STEP_SUMMARY, {path}: {error.strerror}; unset it, or make it writable"
        ) from None


def workflow_commands(run: Run, where: Place) -> Iterator[str]:
    """Yield the workflow commands, at most ten of a kind."""
    failed = [(f"{each.threshold} failed", each.reason, where.line("")) for each in run.failed_thresholds]
    yield from _few("error", failed, "threshold", where)
    survivors = []
    for environment in run.environments:
        for each in closest_survivors(run, environment):
            verdict = run.verdict(environment, each.mutant)
            told = f"{each.mutant} in {environment}: {clause(verdict)}" if verdict else each.mutant
            operator = each.mutant.partition(".")[0]
            survivors.append((each.lost, ("Survived", told, where.line(operator))))
    survivors.sort(key=lambda pair: -pair[0])
    accepted = sum(map(run.accepted_survivors, run.environments))
    number = sum(run.score(name).counts[Status.SURVIVED] for name in run.environments) - accepted
    yield from _few("warning", [each for _, each in survivors], "survivor", where, number)


def _few(
    kind: str, found: Sequence[tuple[str, str, int]], noun: str, where: Place, number: int | None = None
) -> Iterator[str]:
    for title, message, line in found[:MOST]:
        yield _command(kind, where.path, line, title, message)
    more = (len(found) if number is None else number) - MOST
    if more > 0:
        told = f"and {count(more, f'more {noun}')}; see the step's summary"
        yield _command(kind, where.path, 1, "More", told)


def _command(kind: str, path: str, line: int, title: str, message: str) -> str:
    about = f"file={_property(path)},line={line},endLine={line},title={_property(title)}"
    return f"::{kind} {about}::{_data(message)}"


def _data(text: str) -> str:
    return cut(text, LONGEST).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``github``."""
    return [GitHub]
