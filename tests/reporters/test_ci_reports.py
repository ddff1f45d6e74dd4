"""Formats that others read: each passes its schema or somebody else's parser, and counts as the run does."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs
import jsonschema
import junitparser
import onnx
import pytest
from npm import npm_file

from mutatenn import InputError, PluginHost, Run, Status
from mutatenn_reporters._changes import hunks
from mutatenn_reporters._markdown import block, code, plain
from mutatenn_reporters._repository import place
from mutatenn_reporters.badge import badge
from mutatenn_reporters.elements import STATUSES, elements
from mutatenn_reporters.github import workflow_commands

Make = Callable[..., Run]
KILLED = {"status": "killed", "by": ("top-1",), "images": 10, "killed": 3, "infected": 9, "propagated": 8}
SURVIVED = {"status": "survived", "images": 10, "infected": 6, "propagated": 4}
EVERY: dict[str, Any] = {
    f"lt-to-le.conv.{number}.ab": {"status": status, "images": 10, "message": f"{status}: why"}
    for number, status in enumerate(Status)
}
BAD = "\"'</x><b>&amp;`|*[a](b)\x1b]0;x\x07\u202e\ufffe\n::error::x"


@pytest.fixture(autouse=True)
def _not_on_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(variable, raising=False)


def report(name: str, run: Run, folder: Path, **options: Any) -> str:
    """Return what a reporter says."""
    said = PluginHost.installed().get("reporter", name)(**options).report(run, folder)  # type: ignore[attr-defined]
    assert isinstance(said, str)
    return said


# ---- junit ---------------------------------------------------------------------------------------------


def test_junit_counts_as_the_run_does(finished: Any, tmp_path: Path) -> None:
    assert report("junit", finished.run, tmp_path) == f"wrote {tmp_path / 'junit.xml'}"
    suites = list(junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml")))
    assert [suite.name for suite in suites] == ["cpu", "cpu-basic"]
    for suite in suites:
        ends = Counter(type(case.result[0]).__name__ if case.result else "passed" for case in suite)
        score = finished.run.score(suite.name)
        same = finished.run.duplicates(suite.name)
        survivors = [v for v in finished.run.verdicts(suite.name, Status.SURVIVED) if v.mutant not in same]
        assert ends["passed"] == score.detected
        assert ends["Failure"] == suite.failures == len(survivors)
        assert suite.tests == len(finished.run.mutants_of(suite.name)) == ends.total()
        assert suite.skipped == ends["Skipped"]
        assert {p.name: p.value for p in suite.properties()} == {"score": f"{score.value:.4f}"}
        for case in suite:
            assert finished.run.mutant(case.name).operator == case.classname
            if case.result and type(case.result[0]).__name__ == "Failure":
                assert case.result[0].text.startswith("@@ ")
                assert case.result[0].message.startswith("survived: infected ")


def test_junit_of_every_status(make: Make, tmp_path: Path) -> None:
    report("junit", make({"cpu": {**EVERY, "lt-to-le.conv.99.ab": None}}), tmp_path)
    (suite,) = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    kinds: dict[str, list[str]] = {}
    for case in suite:
        kind = type(case.result[0]).__name__ if case.result else "passed"
        kinds.setdefault(kind, []).append(case.result[0].type if case.result else "")
    assert kinds["Failure"] == ["survived"]
    assert kinds["Error"] == ["infrastructure error"]
    assert len(kinds["passed"]) == 3, "killed, crashed, timed out"
    assert set(kinds["Skipped"]) == {
        "never infected", "out of bounds", "unstable", "equivalent", "build error", "not run",
    }  # fmt: skip


def test_junit_begins_with_failed_thresholds(make: Make, tmp_path: Path) -> None:
    run = attrs.evolve(
        make({"cpu": {"lt-to-le.x.0.1": SURVIVED, "lt-to-le.x.1.1": KILLED}}), demands={"min_score": 0.9}
    )
    report("junit", run, tmp_path, survivors="skipped")
    first, second = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (first.name, first.failures, second.failures, second.skipped) == ("thresholds", 1, 0, 1)
    (case,) = first
    assert "below 0.9" in case.result[0].message


# ---- sarif ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sarif_schema() -> Any:
    return json.loads(npm_file("@microsoft/jest-sarif", "lib/schemas/sarif-2.1.0-rtm.5.json"))


def log_of(path: Path) -> dict[str, Any]:
    (log,) = json.loads((path / "mutatenn.sarif").read_text())["runs"]
    assert isinstance(log, dict)
    return log


def test_sarif_keeps_its_schema(finished: Any, make: Make, tmp_path: Path, sarif_schema: Any) -> None:
    hostile = make({"cpu": EVERY | {"lt-to-le.x.77.1": SURVIVED}}, name=BAD)
    for run in (finished.run, attrs.evolve(hostile, demands={"min_score": 1.0})):
        report("sarif", run, tmp_path)
        document = json.loads((tmp_path / "mutatenn.sarif").read_text())
        jsonschema.Draft7Validator(sarif_schema).validate(document)


def test_sarif_has_the_survivors_closest_first(finished: Any, tmp_path: Path) -> None:
    report("sarif", finished.run, tmp_path)
    log = log_of(tmp_path)
    results = [each for each in log["results"] if each["ruleId"] != "ended-differently"]
    found = {tuple(each["message"]["text"].split(" ")[:4:3]) for each in results}
    expected = {
        (verdict.mutant, f"{name}:")
        for name in finished.run.environments
        for verdict in finished.run.verdicts(name, Status.SURVIVED)
    }
    assert found == expected
    rules = [rule["id"] for rule in log["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    for each in log["results"]:
        assert rules[each["ruleIndex"]] == each["ruleId"]
    prints = [each["partialFingerprints"]["primaryLocationLineHash"] for each in log["results"]]
    assert len(set(prints)) == len(prints)
    rule = next(rule for rule in log["tool"]["driver"]["rules"] if rule["id"] == results[0]["ruleId"])
    mutator = PluginHost.installed().mutators()[rule["id"]]
    assert rule["shortDescription"]["text"] == mutator.summary()


def test_sarif_suppresses_what_is_accepted(make: Make, tmp_path: Path) -> None:
    from mutatenn.results.store import Store

    run = make({"cpu": {"lt-to-le.x.0.1": SURVIVED, "lt-to-le.x.1.1": SURVIVED}})
    store = Store.open(run.directory, write=True)
    store.set_remarks({("accept", "lt-to-le.x.1.1", "it pads only")})
    store.close()
    report("sarif", run, tmp_path)
    told = {
        each["message"]["text"].split()[0]: each.get("suppressions") for each in log_of(tmp_path)["results"]
    }
    assert told["lt-to-le.x.0.1"] is None
    (suppression,) = told["lt-to-le.x.1.1"]
    assert suppression["justification"] == "it pads only"
    assert (
        "accepted: it pads only" in (report("junit", run, tmp_path), (tmp_path / "junit.xml").read_text())[1]
    )


def test_results_stand_where_the_operator_is_asked_for(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = finished.run.directory.parent / "small.toml"
    monkeypatch.setenv("GITHUB_WORKSPACE", str(campaign.parent))
    where = place(finished.run)
    assert where.path == "small.toml"
    for operator in finished.run.scores("cpu"):
        assert operator in campaign.read_text().splitlines()[where.line(operator) - 1]
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert place(finished.run).path == "campaign.toml"


# ---- github --------------------------------------------------------------------------------------------

COMMAND = re.compile(r"::(error|warning) file=[^,:]+,line=\d+,endLine=\d+,title=[^,:\n]+::[^\n]*")


def test_github_elsewhere_does_nothing(make: Make, tmp_path: Path) -> None:
    said = report("github", make({"cpu": {"lt-to-le.x.0.1": SURVIVED}}), tmp_path / "report")
    assert said.startswith("github: nothing to annotate")
    assert not (tmp_path / "report").exists()


def test_github_keeps_its_limits(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("earlier\n")
    run = make({"cpu": {f"lt-to-le.x.{n}.1": {**SURVIVED, "message": BAD} for n in range(25)}}, name=BAD)
    lines = report("github", attrs.evolve(run, demands={"min_score": 0.9}), tmp_path).splitlines()
    assert all(COMMAND.fullmatch(line) for line in lines)
    kinds = Counter(line.split()[0] for line in lines)
    assert kinds == {"::error": 1, "::warning": 10}
    assert lines[0].startswith("::error file=campaign.toml,line=")
    assert "16 more survivors" in lines[-1]
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("earlier\n# ")
    assert len(text.encode()) < 2**20
    (tmp_path / "summary.md").write_bytes(b"x" * (2**20 - 5000))
    report("github", run, tmp_path)
    assert (tmp_path / "summary.md").stat().st_size < 2**20
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "not" / "there"))
    with pytest.raises(InputError, match="cannot write GITHUB_STEP_SUMMARY"):
        report("github", run, tmp_path)


def test_a_command_holds_no_other(make: Make) -> None:
    run = make({"cpu": {"lt-to-le.x.0.1": SURVIVED}}, name=BAD)
    where = attrs.evolve(place(run), path="a,b:c%\n.toml")
    (line,) = workflow_commands(run, where)
    assert line.startswith("::warning file=a%2Cb%3Ac%25 .toml,line=")


# ---- markdown ------------------------------------------------------------------------------------------


def test_markdown_says_what_the_run_knows(finished: Any, tmp_path: Path) -> None:
    report("markdown", finished.run, tmp_path)
    text = (tmp_path / "report.md").read_text()
    for name in finished.run.environments:
        score = finished.run.score(name)
        assert f"| {name} | {score.value:.2f} |  | {score.detected} | {score.valid} |" in text
    for operator, score in finished.run.scores("cpu").items():
        assert f"| `{operator}` | " in text
        assert score
    assert text.count("```diff") == text.count("<details>") > 0


@pytest.mark.parametrize("text", [BAD, "``x`` `", "`", "http://x @you #1 $a$ ~~x~~ <!-- -->", "| a | b |"])
def test_markdown_finds_nothing_in_names(text: str) -> None:
    shown = plain(text)
    assert not re.search(r"(?<!\\)[`*_\[\]<>#|~&$@]", shown.replace("\\\\", ""))
    assert not re.search(r"(?<!\\)://", shown)
    span = code(text)
    ticks = len(span) - len(span.lstrip("`"))
    assert span.endswith("`" * ticks)
    assert "`" * ticks not in span[ticks:-ticks].strip("`") or ticks == 1
    fence = block(text, "diff").splitlines()
    assert fence[0].rstrip("dif") == fence[-1]
    assert fence[-1] not in "\n".join(fence[1:-1])


# ---- csv -----------------------------------------------------------------------------------------------


def test_csv_has_a_row_for_each_verdict(finished: Any, tmp_path: Path) -> None:
    report("csv", finished.run, tmp_path)
    with (tmp_path / "mutants.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(r.id, v.environment, v.status) for r in finished.run.mutants for v in r.verdicts.values()]
    assert [(row["mutant"], row["environment"], row["status"]) for row in rows] == expected
    for row, given in zip(rows, finished.run.rows(), strict=True):
        assert float(row["seconds"]) == given["seconds"]
        assert row["layers"] == given["layers"]
        assert json.loads(row["masked"]) == given["masked"]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@"])
def test_csv_holds_no_formula(make: Make, tmp_path: Path, begin: str) -> None:
    message = f'{begin}HYPERLINK(x),"y"\nz'
    report("csv", make({"cpu": {"lt-to-le.x.0.1": {"status": "crashed", "message": message}}}), tmp_path)
    with (tmp_path / "mutants.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["message"] == f'\'{begin}HYPERLINK(x),"y" z'


# ---- badge ---------------------------------------------------------------------------------------------


def test_badges(finished: Any, make: Make, tmp_path: Path) -> None:
    said = report("badge", finished.run, tmp_path, label="<faults>")
    assert said.splitlines() == [f"wrote {tmp_path / f'badge-{name}.svg'}" for name in ("cpu", "cpu-basic")]
    for name in finished.run.environments:
        root = ElementTree.parse(tmp_path / f"badge-{name}.svg").getroot()
        texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        assert texts == [f"<faults>, {name}", f"{100 * finished.run.score(name).value:.0f} %"]
    report("badge", make({"cpu": {"lt-to-le.x.0.1": None}}), tmp_path)
    assert "mutation score: unknown" in (tmp_path / "badge.svg").read_text()
    ElementTree.fromstring(badge('a"<', "&", "#fff"))


# ---- model-explorer ------------------------------------------------------------------------------------


def test_model_explorer_has_values_by_output(finished: Any, tmp_path: Path) -> None:
    report("model-explorer", finished.run, tmp_path)
    graph = onnx.load(finished.run.facts["model"]["path"]).graph
    outputs = {name for node in graph.node for name in node.output}
    for metric in ("score", "survivors", "error"):
        found = json.loads((tmp_path / f"model-explorer-cpu-{metric}.json").read_text())
        assert set(found["results"]) <= outputs
        assert found["results"]
        assert [stop["stop"] for stop in found["gradient"]] == [0, 1]
        for each in found["results"].values():
            assert isinstance(each["value"], float)
    names = {node.output[0]: node.name for node in graph.node}
    survivors: Counter[str] = Counter()
    for verdict in finished.run.verdicts("cpu", Status.SURVIVED):
        survivors.update(finished.run.mutant(verdict.mutant).mutant.layers)
    found = json.loads((tmp_path / "model-explorer-cpu-survivors.json").read_text())["results"]
    assert {names[key]: each["value"] for key, each in found.items() if each["value"]} == survivors


# ---- elements ------------------------------------------------------------------------------------------


def test_elements_keeps_its_schema(finished: Any, make: Make, tmp_path: Path) -> None:
    schema = json.loads(npm_file("mutation-testing-report-schema", "src/mutation-testing-report-schema.json"))
    for run in (finished.run, make({"cpu": EVERY | {"lt-to-le.x.1.1": None}}, name=BAD)):
        assert report("elements", run, tmp_path) == f"wrote {tmp_path / 'mutation.json'}"
        jsonschema.Draft7Validator(schema).validate(json.loads((tmp_path / "mutation.json").read_text()))


def test_elements_has_the_score_of_the_run(finished: Any) -> None:
    found = elements(finished.run)
    for environment in finished.run.environments:
        mutants = [
            mutant
            for name, file in found["files"].items()
            if name.startswith(f"{environment}/")
            for mutant in file["mutants"]
        ]
        ends = Counter(mutant["status"] for mutant in mutants)
        score = finished.run.score(environment)
        assert ends["Killed"] + ends["Timeout"] == score.detected
        assert ends["Killed"] + ends["Timeout"] + ends["Survived"] + ends["NoCoverage"] == score.valid
        assert len(mutants) == len(finished.run.mutants_of(environment))
    assert set(STATUSES) == set(Status)


def test_elements_shows_the_change_where_it_is(finished: Any) -> None:
    """To put the replacement where a mutant says it is gives the mutant's lines."""
    found = elements(finished.run)
    looked = 0
    for name, file in found["files"].items():
        environment = name.partition("/")[0]
        for mutant in file["mutants"]:
            diff = finished.run.changes(mutant["id"].rpartition("@")[0]).get(environment, "")
            if not diff:
                continue
            (hunk, *_) = hunks(diff)
            source = file["source"].splitlines()
            start, end = mutant["location"]["start"], mutant["location"]["end"]
            assert source[hunk.first - 1 : hunk.first - 1 + len(hunk.original)] == hunk.original
            changed = [
                *source[: start["line"] - 1],
                *mutant["replacement"].splitlines(),
                *source[end["line"] :],
            ]
            after = [text for sign, text in hunk.lines if sign != "-"]
            assert changed[hunk.first - 1 : hunk.first - 1 + len(after)] == after
            looked += 1
    assert looked > 5


DIFF = """--- before.py
+++ after.py
@@ -3,4 +3,5 @@
 a
-b
+B
 c
+d
 e
@@ -20 +21,0 @@
-z
"""


def test_hunks() -> None:
    first, second = hunks(DIFF)
    assert (first.original, first.removed, first.added) == (["a", "b", "c", "e"], (4, 5), ["B", "c", "d"])
    assert (second.original, second.removed, second.added) == (["z"], (20, 20), [])
    (inserted,) = hunks("@@ -1,2 +1,3 @@\n a\n+x\n b\n")
    assert (inserted.removed, inserted.added) == ((2, 1), ["x"])
    assert hunks("no diff") == []


def test_elements_with_a_bundle_that_is_not_there(finished: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="npm install mutation-testing-elements"):
        report("elements", finished.run, tmp_path, bundle=str(tmp_path / "no.js"))
    assert not (tmp_path / "mutation.json").exists()
