"""The JSON Schema says what the code writes, and the documentation says what the schema says.

``python tests/reporters/test_report_schema.py`` writes the documentation anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest

from mutatenn.api.mutant import Mutant, Site
from mutatenn.campaign.gate import Baseline
from mutatenn.campaign.judge import STATUSES, Verdict
from mutatenn.campaign.plan import Operators
from mutatenn_reporters import json as reporter

PATH = Path(reporter.__file__).with_name("report.schema.json")
PAGE = Path(__file__).parents[2] / "docs" / "report-schema.md"
SCHEMA: dict[str, Any] = json.loads(PATH.read_text())
DEFINITIONS: dict[str, Any] = SCHEMA["$defs"]

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


def page() -> str:
    """Return the documentation of the schema."""
    sections = [("The report", SCHEMA), *((name.capitalize(), each) for name, each in DEFINITIONS.items())]
    return INTRODUCTION + "".join(_section(title, each) for title, each in sections)


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


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == SCHEMA["$id"] == reporter.SCHEMA


@pytest.mark.parametrize(
    ("definition", "cls", "more"),
    [
        ("verdict", Verdict, []),
        ("baseline", Baseline, []),
        ("operator", Operators, []),
        ("mutant", Mutant, ["skipped", "accepted", "verdicts"]),
        ("site", Site, []),
    ],
)
def test_values_have_all_their_fields(definition: str, cls: type, more: list[str]) -> None:
    fields = [field.name for field in attrs.fields(cls)]
    assert [*DEFINITIONS[definition]["properties"]] == [*fields, *more]


def test_it_knows_every_status() -> None:
    assert DEFINITIONS["verdict"]["properties"]["status"]["enum"] == list(STATUSES)
    assert [*DEFINITIONS["score"]["properties"]["counts"]["properties"]] == list(STATUSES)


def objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every part of the schema that lists properties."""
    if isinstance(schema.get("properties"), dict):
        yield schema
    for each in schema.values():
        if isinstance(each, dict):
            yield from objects(each)


def test_every_object_is_closed_and_complete() -> None:
    found = list(objects(SCHEMA))
    assert len(found) > len(DEFINITIONS)
    for each in found:
        assert each["additionalProperties"] is False
        assert each["required"] == [*each["properties"]]


def test_every_definition_is_used() -> None:
    assert set(re.findall(r"#/\$defs/([a-z]+)", PATH.read_text())) == set(DEFINITIONS)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
