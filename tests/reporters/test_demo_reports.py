"""The demonstration's run in every format: small enough, valid, and with one count."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import junitparser
import pytest
from npm import npm_file

import mutatenn
from mutatenn import PluginHost, Reporter, Run, Status

DEMO = Path(__file__).parents[2] / "examples" / "demo.toml"
FORMATS = (
    "html",
    "json",
    "junit",
    "sarif",
    "markdown",
    "csv",
    "badge",
    "model-explorer",
    "elements",
    "plots",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("demo")
    run = mutatenn.run(DEMO, folder / "run", workers=2)
    for name in FORMATS:
        reporter = PluginHost.installed().get("reporter", name)()
        assert isinstance(reporter, Reporter)
        reporter.report(run, run.directory / "report")
    return run


def test_the_page_is_small_and_answers(demo: Run) -> None:
    page = demo.directory / "report" / "report.html"
    assert page.stat().st_size < 300_000
    score = demo.score()
    answer = f"Of {score.valid} faults in the compiled code, these 200 images noticed {score.detected}."
    assert answer in page.read_text()


def test_every_format_counts_alike(demo: Run) -> None:
    folder, score = demo.directory / "report", demo.score()
    (environment,) = json.loads((folder / "report.json").read_text())["environments"]
    assert environment["score"]["detected"] == score.detected
    (suite,) = junitparser.JUnitXml.fromfile(str(folder / "junit.xml"))
    assert suite.tests - suite.failures - suite.errors - suite.skipped == score.detected
    mutants = [
        m
        for file in json.loads((folder / "mutation.json").read_text())["files"].values()
        for m in file["mutants"]
    ]
    assert sum(mutant["status"] in {"Killed", "Timeout"} for mutant in mutants) == score.detected
    assert sum(mutant["status"] == "Survived" for mutant in mutants) == score.counts[Status.SURVIVED]
    (log,) = json.loads((folder / "mutatenn.sarif").read_text())["runs"]
    assert len(log["results"]) == score.counts[Status.SURVIVED]
    assert len((folder / "mutants.csv").read_text().splitlines()) == 1 + score.judged
    assert f"| cpu | {score.value:.2f} |" in (folder / "report.md").read_text()
    assert f"{100 * score.value:.0f} %" in (folder / "badge.svg").read_text()
    assert re.search(
        rf"{score.detected} detected of {score.valid} valid", (folder / "report.html").read_text()
    )


def test_the_schemas_hold(demo: Run) -> None:
    folder = demo.directory / "report"
    for package, path, name in (
        ("@microsoft/jest-sarif", "lib/schemas/sarif-2.1.0-rtm.5.json", "mutatenn.sarif"),
        ("mutation-testing-report-schema", "src/mutation-testing-report-schema.json", "mutation.json"),
    ):
        schema = json.loads(npm_file(package, path))
        jsonschema.Draft7Validator(schema).validate(json.loads((folder / name).read_text()))
