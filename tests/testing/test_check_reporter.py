"""A reporter that breaks a promise fails the check of reporters, which names the promise."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import attrs
import pytest

from mutatenn import InputError, Reporter, Run, hookimpl
from mutatenn.testing import check_reporter

COUNT = itertools.count()


@attrs.define(kw_only=True)
class Brief(Reporter):
    """Says how many mutants a run has, and keeps it in a file."""

    name = "brief"
    word: str = "mutants"

    def report(self, run: Run, directory: Path) -> str:
        directory.mkdir(parents=True, exist_ok=True)
        said = f"{len(run.mutants)} {self.word}"
        (directory / "brief.txt").write_text(said)
        return said


class Silent(Brief):
    """Returns nothing."""

    def report(self, run: Run, directory: Path) -> Any:
        super().report(run, directory)


class Prints(Brief):
    """Prints itself."""

    def report(self, run: Run, directory: Path) -> str:
        print("here it is")
        return ""


class Steered(Brief):
    """Passes on a name as it is."""

    def report(self, run: Run, directory: Path) -> str:
        return run.name


class Careless(Brief):
    """Expects that the directory is there."""

    def report(self, run: Run, directory: Path) -> str:
        (directory / "brief.txt").write_text("")
        return ""


class Elsewhere(Brief):
    """Writes where it happens to be."""

    def report(self, run: Run, directory: Path) -> str:
        Path("brief.txt").write_text(f"{next(COUNT)}")
        return ""


class Tidies(Brief):
    """Removes what the run needs."""

    def report(self, run: Run, directory: Path) -> str:
        os.remove(run.directory / "campaign.toml")
        return ""


class Dated(Brief):
    """Writes something else each time."""

    def report(self, run: Run, directory: Path) -> str:
        super().report(run, directory)
        (directory / "brief.txt").write_text(f"{next(COUNT)}")
        return ""


class Moody(Brief):
    """Says something else each time."""

    def report(self, run: Run, directory: Path) -> str:
        return f"{next(COUNT)}"


class Hopeful(Brief):
    """Expects that every mutant has a verdict."""

    def report(self, run: Run, directory: Path) -> str:
        return " ".join(record.verdicts["cpu"].status for record in run.mutants if "cpu" in run.environments)


class Eager(Brief):
    """Expects that the original has run when the campaign starts."""

    @hookimpl
    def mutatenn_campaign_start(self, run: Run) -> None:
        print(run.baselines[run.environments[0]].noise)


class Loud(Brief):
    """Passes on messages as they are while it follows a run."""

    @hookimpl
    def mutatenn_trial_finished(self, verdict: Any) -> None:
        print(verdict.message)


class Refuses(Brief):
    """Presents no run at all."""

    def report(self, run: Run, directory: Path) -> str:
        raise InputError("not today")


class RefusesAtLength(Brief):
    """Refuses on two lines."""

    def report(self, run: Run, directory: Path) -> str:
        raise InputError("not today\nand not tomorrow")


class Nameless(Brief):
    """Has a name that nobody can type."""

    name = "No Name"


def test_a_reporter_that_keeps_its_promises() -> None:
    check_reporter(Brief, word="of them")


@pytest.mark.parametrize(
    ("cls", "promise"),
    [
        (Silent, "brief reports a finished run; .*report returns a str, not None"),
        (Prints, "report does not print, but returns 'here it is"),
        (Steered, "a run whose names are odd; .*a report has no control characters"),
        (Careless, "a finished run; FileNotFoundError"),
        (Elsewhere, "all files but those in the directory stay as they are: elsewhere/brief.txt"),
        (Tidies, "stay as they are: run/campaign.toml"),
        (Dated, "files of the same run are the same again, byte for byte"),
        (Moody, "a report of the same run is the same again"),
        (Hopeful, "an interrupted run; KeyError"),
        (Eager, "mutatenn_campaign_start of brief does not raise; .*KeyError"),
        (Loud, "a run whose names are odd; .*what events print has no control characters"),
        (Refuses, "two environments can be reported; not today"),
        (RefusesAtLength, "a refusal is one line"),
        (Nameless, "names are kebab case"),
        (Reporter, "does not define report"),
    ],
)
def test_a_reporter_that_breaks_one(cls: type[Reporter], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_reporter(cls)
