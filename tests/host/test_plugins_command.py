"""``mutatenn plugins`` shows a row per capability, and per plugin that has none to show."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mutatenn.cli.main import main

Install = Callable[..., None]

TWO_ORACLES = '''
class One(Comparator):
    """Measures one thing."""
    name, worse = "one-thing", "higher"
    def measure(self, original, candidate): ...

class Another(One):
    """Measures another thing."""
    name = "another-thing"

@hookimpl
def mutatenn_comparators(): return [One, Another]
'''
LISTENER = "@hookimpl\ndef mutatenn_campaign_start(): ..."


def rows(capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, Any]]:
    assert main(["plugins", "--json", *options]) == 0
    listed = json.loads(capsys.readouterr().out)
    return [row for row in listed if row["distribution"] == "acme"]


def test_a_row_per_capability(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("things", TWO_ORACLES)
    shared = {
        "kind": "comparator",
        "plugin": "things",
        "module": "acme_things",
        "distribution": "acme",
        "version": "1.2",
        "state": "active",
        "reason": "",
    }
    assert rows(capsys) == [
        {"name": "another-thing", "summary": "Measures another thing."} | shared,
        {"name": "one-thing", "summary": "Measures one thing."} | shared,
    ]


def test_plugins_without_capabilities_have_a_row(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("mutators.bad", "import no_such_module")
    install("listener", LISTENER)
    bad, listener = rows(capsys)
    assert (bad["kind"], bad["name"], bad["state"]) == ("mutator", None, "broken")
    assert "no_such_module" in bad["reason"]
    assert (listener["kind"], listener["name"], listener["state"]) == (None, None, "active")
    assert listener["summary"] == "A plugin made up for a test."


def test_one_kind(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("mutators.bad", "import no_such_module")
    install("listener", LISTENER)
    install("things", TWO_ORACLES)
    assert {row["plugin"] for row in rows(capsys, "--kind", "comparator")} == {"things"}
    assert {row["plugin"] for row in rows(capsys, "--kind", "mutator")} == {"mutators.bad"}


def test_a_clash_is_shown_on_both_rows(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("things", TWO_ORACLES)
    install("copies", TWO_ORACLES.replace("another-thing", "third-thing"))
    found = {(row["plugin"], row["name"]): row for row in rows(capsys)}
    for plugin in ("things", "copies"):
        assert found[plugin, "one-thing"]["state"] == "clash"
        assert "'copies' and 'things'" in found[plugin, "one-thing"]["reason"]
    assert found["things", "another-thing"]["state"] == "active"


def test_the_table_is_aligned(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("things", TWO_ORACLES)
    install("mutators.bad", "import no_such_module")
    assert main(["plugins"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["kind", "name", "distribution", "version", "state", "summary"]
    start, state = header.index("summary"), header.index("state")
    notes = {line[start:]: line[state:start].strip() for line in lines}
    assert notes["Measures one thing."] == "active"
    (broken,) = (note for note in notes if "no_such_module" in note)
    assert notes[broken] == "broken"
