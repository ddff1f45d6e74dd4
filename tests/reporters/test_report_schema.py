"""The JSON Schemas say what the code writes, and the documentation says what the schemas say.

``python tests/reporters/test_report_schema.py`` writes the documentation anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import attrs
import jsonschema
import pytest

from mutatenn.analysis.environments import document as devices_json
from mutatenn.analysis.environments.compared import Pair
from mutatenn.analysis.environments.distance import Distance, Spread
from mutatenn.analysis.environments.sides import EndStatus
from mutatenn.api.baseline import Baseline
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.verdict import Status, Verdict
from mutatenn.results.planned import PlannedOperator
from mutatenn.results.thresholds import Failed
from mutatenn_reporters import json as reporter

PATH = Path(reporter.__file__).with_name("report.schema.json")
PAGE = Path(__file__).parents[2] / "docs" / "report-schema.md"
SCHEMA: dict[str, Any] = json.loads(PATH.read_text())
DEFINITIONS: dict[str, Any] = SCHEMA["$defs"]
DEVICES_PATH = PATH.with_name("devices.schema.json")
DEVICES: dict[str, Any] = json.loads(DEVICES_PATH.read_text())
BOTH = pytest.mark.parametrize("schema", [SCHEMA, DEVICES], ids=["report", "devices"])

INTRODUCTION = """\
# `report.json`

The reporter `json` writes `RUN/report/report.json`: everything about a run in one file, for programs.

- The same run gives the same file, byte for byte.
- Numbers are finite: where a value is not a finite number there is `null`.
- The file is written at once: it is either absent or whole.
- `schema` names the format and its version, `mutatenn-report/1`. This page is made from its JSON Schema
  (draft 2020-12), [`report.schema.json`](../plugins/reporters/mutatenn_reporters/report.schema.json).

For example, the survivors of an environment:

    jq -r '.mutants[].verdicts.cpu | select(.status == "survived") | .mutant' runs/digits/report/report.json

Every key is always there.
"""

DEVICES_INTRODUCTION = """
# `device_evaluation.json`, `device_discrepancies.json`

The reporter `devices` compares the environments of a run and writes both files into `RUN/report`, with a
picture, `device_matrix.svg`; `mutatenn compare RUN... --json` prints the first, also for several runs,
and with `--discrepancies` the second, which holds only the mutants that differ.

- What holds of `report.json` holds of them, too. Their JSON Schema is
  [`devices.schema.json`](../plugins/reporters/mutatenn_reporters/devices.schema.json).
- Environments are compared in pairs, first the originals: how far these are apart is the **noise
  floor**, which no fault causes. Images are matched by name and content; runs of other images are
  refused.
- A mutant **diverges** where it behaved differently in two environments: killed here, unnoticed there;
  crashed here, killed there. Survived, never infected and equivalent are one behaviour, *unnoticed*;
  killed, crashed, timed out, out of bounds and build error are one each. An infrastructure error, or a
  mutant that was not run, says nothing: the pair is *undecided*.
- A mutant is **beyond the noise floor** by an oracle if the oracle notices (by its threshold) the
  difference between its outputs in the two environments on more images than it does for the originals,
  or on an image that is worse than every image of the originals.
- A mutant **differs** if it diverges in some pair, or is beyond the noise floor there by the kill
  oracle: then both environments may have killed it, but by other answers.
- Mutants have the same id where the same operator was applied at the same ordinal of the same kernel.
  Other compiler settings may have another line of code there: `same_change` tells.
- What an environment computes from a mutant that reads beyond its memory is chance, and may differ from
  run to run.

For example, what is noticed in one environment and not in the other:

    jq -r '.mutants[].pairs[] | select(.outcome == "diverges") | .reason' device_discrepancies.json
"""


def page() -> str:
    """Return the documentation of the schemas."""
    report = _sections("The report", SCHEMA)
    return INTRODUCTION + report + DEVICES_INTRODUCTION + _sections("The comparison", DEVICES)


def _sections(title: str, schema: dict[str, Any]) -> str:
    parts = [(title, schema), *((name.capitalize(), each) for name, each in schema["$defs"].items())]
    return "".join(_section(title, each) for title, each in parts)


def _section(title: str, schema: dict[str, Any]) -> str:
    rows = "".join(f"| `{key}` | {kind} | {about} |\n" for key, kind, about in _rows(schema))
    return (
        f"\n## {title}\n\n{schema['description']}\n\n| Key | Value | Meaning |\n| --- | --- | --- |\n{rows}"
    )


def _rows(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for key, each in schema["properties"].items():
        yield f"{prefix}{key}", _kind(each), each["description"]
        if "properties" in each:
            yield from _rows(each, f"{prefix}{key}.")


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if kinds == ["array"]:
        return f"array of {_kind(schema['items'])}"
    of = schema.get("additionalProperties")
    return f"object of {_kind(of)}" if of else " or ".join(kinds)


def test_the_page_says_what_the_schema_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"run: python {Path(__file__).name}"


@pytest.mark.parametrize(
    ("schema", "name"), [(SCHEMA, reporter.SCHEMA), (DEVICES, devices_json.SCHEMA)], ids=["report", "devices"]
)
def test_the_schema_is_one(schema: dict[str, Any], name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == schema["$id"] == name


def test_no_section_of_the_page_has_the_name_of_another() -> None:
    titles = re.findall(r"^##? (.*)$", page(), re.MULTILINE)
    assert sorted(set(titles)) == sorted(titles)


@pytest.mark.parametrize(
    ("definition", "cls", "more"),
    [
        ("verdict", Verdict, []),
        ("baseline", Baseline, []),
        ("operator", PlannedOperator, []),
        ("threshold", Failed, []),
        ("mutant", Mutant, ["skipped", "accepted", "verdicts"]),
        ("site", Site, []),
        ("distance", Distance, []),
        ("spread", Spread, []),
        ("pair", Pair, []),
    ],
)
def test_values_have_all_their_fields(definition: str, cls: type, more: list[str]) -> None:
    fields = [field.name for field in attrs.fields(cls)]
    assert [*(DEFINITIONS | DEVICES["$defs"])[definition]["properties"]] == [*fields, *more]


def test_it_knows_every_status() -> None:
    assert DEFINITIONS["verdict"]["properties"]["status"]["enum"] == list(Status)
    assert [*DEFINITIONS["score"]["properties"]["counts"]["properties"]] == list(Status)
    devices = DEVICES["$defs"]
    assert [*devices["count"]["properties"]["counts"]["properties"]] == list(Status)
    assert devices["ending"]["properties"]["status"]["enum"] == [*Status, *get_args(get_args(EndStatus)[1])]


def objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every part of the schema that lists properties."""
    if isinstance(schema.get("properties"), dict):
        yield schema
    for each in schema.values():
        if isinstance(each, dict):
            yield from objects(each)


@BOTH
def test_every_object_is_closed_and_complete(schema: dict[str, Any]) -> None:
    found = list(objects(schema))
    assert len(found) > len(schema["$defs"])
    for each in found:
        assert each["additionalProperties"] is False
        assert each["required"] == [*each["properties"]]


@BOTH
def test_every_definition_is_used(schema: dict[str, Any]) -> None:
    assert set(re.findall(r"#/\$defs/([a-z_]+)", json.dumps(schema))) == set(schema["$defs"])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
