"""The elements reporter: Stryker's report schema, which dashboards, Sonar and Stryker's own page read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn import InputError, Reporter, Status, hookimpl
from mutatenn_reporters._changes import Hunk, hunks
from mutatenn_reporters._endings import endings
from mutatenn_reporters._text import cut
from mutatenn_reporters._writing import write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mutatenn import Run
    from mutatenn_reporters._endings import Ending

FILE, PAGE = "mutation.json", "mutation.html"
KILLERS = 5
"""Images that are named of each mutant; more make the viewer slow (mutation-testing-elements#1478)."""
LONGEST = 1000
LARGEST_BUNDLE = 2**24
STATUSES: dict[Status, str] = {
    Status.KILLED: "Killed",
    Status.CRASHED: "Killed",
    Status.OUT_OF_BOUNDS: "Ignored",
    Status.TIMED_OUT: "Timeout",
    Status.SURVIVED: "Survived",
    Status.NEVER_INFECTED: "NoCoverage",
    Status.EQUIVALENT: "Ignored",
    Status.UNSTABLE: "Ignored",
    Status.BUILD_ERROR: "CompileError",
    Status.INFRASTRUCTURE_ERROR: "RuntimeError",
}
"""Crashes are detected, as ours are: a RuntimeError would be in no score. So is what is in none of ours."""
SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mutation report</title>
</head>
<body>
<mutation-test-report-app title-postfix="mutatenn"></mutation-test-report-app>
<script>%s</script>
<script>document.querySelector("mutation-test-report-app").report = %s;</script>
</body>
</html>
"""


@attrs.define(kw_only=True, eq=False)
class Elements(Reporter):
    """Writes mutation.json, of Stryker's mutation-testing-report-schema, version 2.

    A file of it is a kernel or graph, as far as the diffs of its mutants show it, a test an image. With
    ``bundle``, the path of ``mutation-test-elements.js`` from your own
    ``npm install mutation-testing-elements``, it writes mutation.html, too: Stryker's page in one file.
    """

    name: ClassVar[str] = "elements"
    bundle: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of(str))
    )

    def report(self, run: Run, directory: Path) -> str:
        """Write the files into the directory, creating it; return where they are.

        Raises InputError if one cannot be written, or the bundle cannot be read.
        """
        script = self._script()
        text = json.dumps(elements(run), ensure_ascii=False)
        lines = [write(directory / FILE, f"{text}\n")]
        if script is not None:
            lines.append(write(directory / PAGE, SHELL % (_script_text(script), _data_text(text))))
        return "\n".join(lines)

    def _script(self) -> str | None:
        if self.bundle is None:
            return None
        path = Path(self.bundle).expanduser()
        try:
            if path.stat().st_size > LARGEST_BUNDLE:
                raise InputError(f"bundle {self.bundle}: too large to be mutation-test-elements.js")
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"cannot read bundle {self.bundle!r}: {error}; give the path of mutation-test-elements.js "
                "from `npm install mutation-testing-elements`"
            ) from None


def _script_text(script: str) -> str:
    """Return a script in which nothing ends its element: such words stand in its strings alone."""
    return re.sub(r"<(?=/script|script|!--)", r"\\x3c", script, flags=re.IGNORECASE)


def _data_text(text: str) -> str:
    """Return JSON that is a script's, too, and in which nothing ends its element."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def elements(run: Run) -> dict[str, Any]:
    """Return the report as plain data."""
    units: dict[str, Unit] = {}
    several = len(run.environments) > 1
    for environment in run.environments:
        for each in endings(run, environment):
            folder = f"{environment}/" if several else ""
            unit = each.record.sites[0].unit if each.record.sites else "main"
            name = cut(f"{folder}{each.record.stage}/{unit}.py", LONGEST)
            units.setdefault(name, Unit()).add(run, each)
    versions = run.facts.get("versions", {})
    return {
        "schemaVersion": "2",
        "thresholds": {"high": 80, "low": 60},
        "files": {name: unit.file(run) for name, unit in units.items()},
        "testFiles": {
            "images": {
                "tests": [
                    {"id": str(i), "name": cut(name, LONGEST)} for i, name in enumerate(run.image_names)
                ]
            }
        },
        "framework": {
            "name": "mutatenn",
            "version": str(versions.get("mutatenn", "")),
            "dependencies": {cut(key, LONGEST): cut(value, LONGEST) for key, value in versions.items()},
        },
        "config": {"campaign": cut(run.name, LONGEST)},
    }


@attrs.define(eq=False)
class Unit:
    """A kernel or graph: its lines that are known, and its mutants."""

    lines: dict[int, str] = attrs.field(factory=dict)
    mutants: list[tuple[Ending, Hunk | None]] = attrs.field(factory=list)

    def add(self, run: Run, ending: Ending) -> None:
        """Add a mutant; its first hunk is where it is."""
        found = hunks(run.changes(ending.record.id).get(ending.environment, ""))
        for hunk in found:
            for place, text in enumerate(hunk.original, hunk.first):
                self.lines.setdefault(place, text)
        self.mutants.append((ending, found[0] if found else None))

    def file(self, run: Run) -> dict[str, Any]:
        """Return it as a file of the report."""
        last = max(self.lines, default=1)
        source = [cut_line(self.lines.get(place, "# ...")) for place in range(1, last + 1)]
        images = {name: str(index) for index, name in enumerate(run.image_names)}
        mutants = [_mutant(ending, hunk, source, images) for ending, hunk in self.mutants]
        return {"language": "python", "source": "\n".join(source) + "\n", "mutants": mutants}


def cut_line(text: str) -> str:
    """Return a line of code without what is not printable."""
    return "".join(char if char.isprintable() else "?" for char in text.expandtabs(4))[:LONGEST]


def _mutant(
    ending: Ending, hunk: Hunk | None, source: list[str], images: Mapping[str, str]
) -> dict[str, Any]:
    record, verdict = ending.record, ending.verdict
    several = f" ({len(record.sites)} sites)" if len(record.sites) > 1 else ""
    found: dict[str, Any] = {
        "id": cut(f"{record.id}@{ending.environment}", LONGEST),
        "mutatorName": cut(record.operator, LONGEST),
        "status": _status(ending),
        "statusReason": cut(f"{ending.why}{several}", LONGEST),
        "static": False,
        **_place(hunk, source),
    }
    if verdict:
        found["duration"] = round(1000 * verdict.seconds, 3)
        killers = [images[name] for name in verdict.killed_images[:KILLERS] if name in images]
        if killers:
            found |= {"killedBy": killers, "coveredBy": killers}
    return found


def _status(ending: Ending) -> str:
    if ending.verdict is None:
        return "Ignored" if ending.record.skipped else "Pending"
    if ending.verdict.status == Status.SURVIVED and ending.record.accepted:
        return "Ignored"
    return STATUSES[ending.verdict.status]


def _place(hunk: Hunk | None, source: list[str]) -> dict[str, Any]:
    if hunk is None:
        return {"location": {"start": {"line": 1, "column": 1}, "end": {"line": 1, "column": 2}}}
    first, last = hunk.removed
    text = "\n".join(map(cut_line, hunk.added))
    if last < first:  # only lines added: before this one
        start = {"line": min(first, len(source)), "column": 1}
        return {"location": {"start": start, "end": {**start, "column": 2}}, "replacement": f"{text}\n"}
    end = {"line": last, "column": len(source[last - 1]) + 1}
    return {"location": {"start": {"line": first, "column": 1}, "end": end}, "replacement": text}


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``elements``."""
    return [Elements]
