"""The junit reporter: mutants as test cases, in the XML that every CI server reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal
from xml.etree import ElementTree as ET

import attrs

from mutatenn import Reporter, hookimpl
from mutatenn_reporters._changes import diff_of
from mutatenn_reporters._endings import endings
from mutatenn_reporters._text import cut
from mutatenn_reporters._writing import write

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn import Run
    from mutatenn_reporters._endings import Ending

FILE = "junit.xml"
LONGEST = 1000


@attrs.define(kw_only=True, eq=False)
class JUnit(Reporter):
    """Writes junit.xml: a test suite for each environment, a test case for each mutant.

    A survivor fails (with ``survivors = "skipped"`` it is only skipped, for servers that fail a build on any
    failure), an infrastructure error is an error; equivalent, accepted, duplicate and never infected mutants
    are skipped, and so is what was not run. Thresholds that failed are a suite of their own, the first.
    """

    name: ClassVar[str] = "junit"
    survivors: Literal["failure", "skipped"] = attrs.field(
        default="failure", validator=attrs.validators.in_(("failure", "skipped"))
    )

    def report(self, run: Run, directory: Path) -> str:
        """Write ``junit.xml`` into the directory, creating it; return where it is.

        Raises InputError if it cannot be written.
        """
        root = ET.Element("testsuites", name=cut(run.name, LONGEST))
        suites = [*_thresholds(run), *(self._suite(run, name) for name in run.environments)]
        root.extend(suites)
        for key in ("tests", "failures", "errors", "skipped"):
            root.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
        root.set("time", f"{sum(float(suite.get('time', '0')) for suite in suites):.3f}")
        ET.indent(root)
        text = ET.tostring(root, encoding="unicode")
        return write(directory / FILE, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')

    def _suite(self, run: Run, environment: str) -> ET.Element:
        cases = [self._case(run, each) for each in endings(run, environment)]
        suite = _counted(cut(environment, LONGEST), cases)
        suite.set("timestamp", str(run.facts.get("created", ""))[:19])
        suite.set("hostname", cut(run.facts.get("host", {}).get("system", ""), LONGEST))
        score = run.score(environment)
        values = {"score": score.value if score.valid else None}
        if score.interval and score.sampled:
            values |= {"low": score.interval.low, "high": score.interval.high}
        properties = ET.Element("properties")
        for name, value in values.items():
            ET.SubElement(properties, "property", name=name, value="" if value is None else f"{value:.4f}")
        suite.insert(0, properties)
        return suite

    def _case(self, run: Run, ending: Ending) -> ET.Element:
        record, verdict = ending.record, ending.verdict
        seconds = verdict.seconds if verdict else 0.0
        case = ET.Element(
            "testcase",
            name=cut(record.id, LONGEST),
            classname=cut(record.operator, LONGEST),
            time=f"{seconds:.3f}",
        )
        message = cut(f"{ending.status}: {ending.why}", LONGEST)
        if ending.result == "error":
            ET.SubElement(case, "error", message=message, type=ending.status)
        elif ending.result == "survived":
            kind = self.survivors
            found = ET.SubElement(case, kind, message=message, type=ending.status)
            found.text = diff_of(run, record.id, ending.environment)
        elif ending.result == "none":
            ET.SubElement(case, "skipped", message=message, type=ending.status)
        return case


def _thresholds(run: Run) -> list[ET.Element]:
    cases = []
    for failed in run.failed_thresholds:
        case = ET.Element(
            "testcase",
            name=cut(f"{failed.threshold} in {failed.environment}", LONGEST),
            classname="thresholds",
            time="0.000",
        )
        ET.SubElement(case, "failure", message=cut(failed.reason, LONGEST), type="threshold failed")
        cases.append(case)
    return [_counted("thresholds", cases)] if cases else []


def _counted(name: str, cases: list[ET.Element]) -> ET.Element:
    suite = ET.Element("testsuite", name=name, tests=str(len(cases)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    suite.extend(cases)
    return suite


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``junit``."""
    return [JUnit]
