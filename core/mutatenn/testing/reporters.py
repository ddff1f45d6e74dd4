"""Checks what a reporter promises, on runs in every state."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.verdict import Status
from mutatenn.border import staying
from mutatenn.errors import InputError
from mutatenn.host.plugin_host import PluginHost
from mutatenn.results.run import Run
from mutatenn.testing.promises import check_class, keeping, require
from mutatenn.testing.runs import made_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from mutatenn.errors import PluginError
    from mutatenn.results.reporter import Reporter

    Make = Callable[[], Reporter]

KILLED = {
    "status": Status.KILLED,
    "by": ("top-1",),
    "images": 10,
    "killed": 3,
    "infected": 9,
    "propagated": 8,
}
SURVIVED = {"status": Status.SURVIVED, "images": 10, "infected": 6, "propagated": 4}
EVERY: dict[str, dict[str, Any]] = {
    f"lt-to-le.conv.{number}.ab": {"status": status, "images": 10, "message": f"{status}: why"}
    for number, status in enumerate(Status)
}
STEERING = "[red]x[/red] \x1b]0;owned\x07\u202e\x9b31m\r\n<b>&amp;"
"""A name that a terminal, a page or a table may take for more than a name."""
FAILED = {"status": Status.INFRASTRUCTURE_ERROR, "message": "its process was killed by signal 9"}
RUNS: dict[str, dict[str, Any]] = {
    "a finished run": {"environments": {"cpu": EVERY}},
    "a run in two environments": {
        "environments": {
            "a": {"lt-to-le.x.0.1": KILLED, "store-int8.x.0.1": SURVIVED},
            "b": {"lt-to-le.x.0.1": SURVIVED, "store-int8.x.0.1": SURVIVED},
        }
    },
    "an interrupted run": {"environments": {"cpu": {"lt-to-le.x.0.1": KILLED, "lt-to-le.x.1.2": None}}},
    "a run that ended before its original ran": {
        "environments": {"cpu": {"lt-to-le.x.0.1": None}},
        "began": False,
    },
    "an empty run": {"environments": {"cpu": {}}},
    "a run whose gate is red": {
        "environments": {"cpu": {"lt-to-le.x.0.1": None}},
        "noise": float("inf"),
        "reference_difference": float("nan"),
        "problems": ("two runs differ by inf",),
    },
    "a run with infrastructure errors": {
        "environments": {"cpu": {"lt-to-le.x.0.1": FAILED, "lt-to-le.x.1.2": KILLED}}
    },
    "a run whose names are odd": {
        "environments": {"cpu": {"lt-to-le.x.0.1": {"status": Status.CRASHED, "message": STEERING}}},
        "name": STEERING,
    },
}


def check_reporter(cls: type[Reporter], **options: Any) -> None:
    """Check a reporter with some options on made-up runs: finished, interrupted, empty, odd.

    No event raises; with or without having followed the run, a report is a str, without control
    characters, that the reporter does not print itself; it writes below its directory alone, which may not
    exist yet; and it is the same, file by file and byte for byte, when it is made again. In the place of the
    report of a run in one environment may be an InputError, of one line.
    """
    check_class("reporter", cls)
    for title, fields in RUNS.items():
        with tempfile.TemporaryDirectory(prefix="mutatenn-check-") as name, staying():
            root = Path(name).resolve()
            run = made_run(root / "run", **fields)
            (root / "elsewhere").mkdir()
            os.chdir(root / "elsewhere")
            with keeping(f"{cls.name} reports {title}"):
                _Check(root, run, lambda: cls(**options)).all()


class _Strict(PluginHost):
    """A host that is not silent about listeners that raise."""

    def _tell(self, plugin: str, event: str, error: PluginError) -> None:
        raise AssertionError(f"not true: {event} of {plugin} does not raise; {error}")


@attrs.frozen
class _Check:
    root: Path
    run: Run
    make: Make

    def all(self) -> None:
        follower = self.make()
        require(_is_plain(_follow(follower, self.run)), "what events print has no control characters")
        self._report(follower)
        first, second = self._report(self.make()), self._report(self.make())
        require(first[0] == second[0], "a report of the same run is the same again")
        require(first[1] == second[1], "files of the same run are the same again, byte for byte")

    def _report(self, reporter: Reporter) -> tuple[str, dict[str, bytes]]:
        """Return the report of the run, opened anew, and its files by name."""
        before = _files(self.root)
        directory = self.root / "new" / "report"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            text = self._said(reporter, directory)
        require(isinstance(text, str), f"report returns a str, not {text!r}")
        require(not printed.getvalue(), f"report does not print, but returns {printed.getvalue()!r}")
        require(_is_plain(text), f"a report has no control characters: {text!r}")
        after = _files(self.root)
        below = {path: after.pop(path) for path in list(after) if path.startswith("new/report/")}
        require(
            after == before,
            f"all files but those in the directory stay as they are: {_changed(before, after)}",
        )
        shutil.rmtree(self.root / "new", ignore_errors=True)
        return text, below

    def _said(self, reporter: Reporter, directory: Path) -> str:
        """Return the report, or why there can be none: of few environments, say."""
        try:
            return reporter.report(Run.open(self.run.directory), directory)
        except InputError as refusal:
            require(len(self.run.environments) == 1, f"two environments can be reported; {refusal}")
            require("\n" not in str(refusal), f"a refusal is one line, not {str(refusal)!r}")
            return str(refusal)


def _follow(reporter: Reporter, run: Run) -> str:
    """Let a reporter follow a run; return what it prints meanwhile."""
    host = _Strict()
    host.register(reporter, reporter.name)
    waiting = any(sum(run.waiting(name).values()) for name in run.environments)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        host.emit("mutatenn_stage_started", stage="importing a model")
        host.emit("mutatenn_campaign_start", run=run)
        host.emit("mutatenn_stage_started", stage="compiling kernels")
        for name, baseline in run.baselines.items():
            host.emit("mutatenn_baseline_finished", run=run, baseline=baseline)
            for mutant in run.mutants_of(name):
                if verdict := run.verdict(name, mutant):
                    host.emit("mutatenn_trial_finished", run=run, verdict=verdict)
        host.emit("mutatenn_campaign_finish", run=run, error=KeyboardInterrupt() if waiting else None)
    return printed.getvalue()


def _is_plain(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


def _files(root: Path) -> dict[str, bytes]:
    """Return the content of all files by name, but for those that SQLite makes beside a database it reads."""
    found = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(found)}


def _changed(before: dict[str, bytes], after: dict[str, bytes]) -> str:
    return ", ".join(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))
