"""The devices reporter: files that keep their schema, and a picture that is safe and whole."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from mutatenn import InputError
from mutatenn.analysis.environments.comparison import compare
from mutatenn.results.run import Run
from mutatenn_reporters import devices
from mutatenn_reporters._matrix import matrix

Make = Callable[..., Run]
SCHEMA: dict[str, Any] = json.loads(Path(devices.__file__).with_name("devices.schema.json").read_text())
SVG = "{http://www.w3.org/2000/svg}"
KILLED = {"status": "killed", "by": ("top-1",), "images": 10, "killed": 3, "infected": 10}
SURVIVED = {"status": "survived", "images": 10, "infected": 10}


@pytest.fixture(scope="module")
def written(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("devices") / "report"
    said = devices.Devices().report(finished.run, folder)
    names = ("device_evaluation.json", "device_discrepancies.json", "device_matrix.svg")
    assert said == "\n".join(f"wrote {folder / name}" for name in names)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    return folder


def test_the_files_keep_the_schema(written: Path) -> None:
    for name, selection in {"evaluation": "all", "discrepancies": "differing"}.items():
        found = json.loads((written / f"device_{name}.json").read_text())
        jsonschema.validate(found, SCHEMA, cls=jsonschema.Draft202012Validator)
        assert found["selection"] == selection


def test_a_real_run(finished: Any, written: Path) -> None:
    run = finished.run
    found = json.loads((written / "device_evaluation.json").read_text())
    assert [each["name"] for each in found["environments"]] == ["cpu", "cpu-basic"]
    assert [each["id"] for each in found["mutants"]] == [record.id for record in run.mutants]
    floor = found["noise_floors"][0]
    assert (floor["first"], floor["second"], floor["distance"]["labels"]) == ("cpu", "cpu-basic", 0)
    assert 0 <= floor["distance"]["largest"] < 1e-5
    for each, record in zip(found["mutants"], run.mutants, strict=True):
        for environment, end in each["environments"].items():
            verdict = record.verdicts.get(environment)
            assert end["status"] == (verdict.status if verdict else "not-planned")
            if verdict and verdict.oracles:  # what the campaign measured is what is measured here
                measured = end["distance"]["oracles"]["max-abs"]
                assert measured["worst"] == verdict.oracles["max-abs"]["worst"]
                assert measured["mean"] == pytest.approx(verdict.oracles["max-abs"]["mean"])


def test_one_environment_is_an_error(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to compare it with"):
        devices.Devices().report(make({"cpu": {"lt-to-le.x.0.1": KILLED}}), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_written(finished: Any, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write into .*; choose another folder"):
        devices.Devices().report(finished.run, tmp_path / "report")


def texts(picture: str) -> list[str]:
    """Return the visible text of a picture, in its order."""
    root = ElementTree.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for rect in root.iter(f"{SVG}rect"):
        if "x" in rect.attrib:
            assert (
                0 <= float(rect.attrib["x"]) <= float(rect.attrib["x"]) + float(rect.attrib["width"]) <= width
            )
            assert (
                0
                <= float(rect.attrib["y"])
                <= float(rect.attrib["y"]) + float(rect.attrib["height"])
                <= height
            )
    return [(each.text or "") + "".join(part.tail or "" for part in each) for each in root.iter(f"{SVG}text")]


def picture(run: Run) -> str:
    return matrix(compare([run], oracles={}), run.name)


def test_few_mutants_have_a_row_each(make: Make) -> None:
    crashed = {"status": "crashed", "signal": 11}
    a = {"lt-to-le.x.0.1": KILLED, "lt-to-le.x.1.1": SURVIVED, "store-int8.y.0.1": KILLED}
    b = {"lt-to-le.x.0.1": SURVIVED, "lt-to-le.x.1.1": SURVIVED, "store-int8.y.1.1": crashed}
    assert texts(picture(make({"a": a, "b": b})))[2:] == [
        *("a", "b"),
        *("lt-to-le", "x.0.1", "killed", "survived", "diverges"),
        *("x.1.1", "survived", "survived"),
        *("store-int8", "y.0.1", "killed", "not planned"),
        *("y.1.1", "not planned", "crashed"),
        *("killed", "crashed", "survived", "not planned"),
    ]


def test_many_mutants_share_rows(make: Make) -> None:
    a = {f"lt-to-le.x.{index}.1": KILLED if index % 4 else SURVIVED for index in range(80)}
    b = {name: KILLED if index % 2 else SURVIVED for index, name in enumerate(a)}
    shown = texts(picture(make({"a": a, "b": b, "c": {}})))
    assert shown[:4] == ["by-hand: mutants by environment", "80 mutants, 20 did not end alike", "a", "b"]
    assert shown[4:] == [
        *("lt-to-le", "60 mutants", "40 killed", "20", "40 killed", "20"),
        *("20 mutants", "20 killed", "20 survived", "diverges"),
        *("killed", "survived"),
    ]


def test_rare_ways_to_diverge_share_a_row(make: Make) -> None:
    ends = ("killed", "survived", "crashed", "timed-out", "build-error")
    pairs = [pair for pair in itertools.permutations(ends, 2) for _ in range(4)]
    named = {f"store-int8.x.{index}.1": pair for index, pair in enumerate(pairs)}
    run = make(
        {place: {name: {"status": pair[n]} for name, pair in named.items()} for n, place in enumerate("ab")}
    )
    shown = texts(picture(run))
    assert shown[1] == "80 mutants, 80 did not end alike"
    assert shown.count("diverges") == 7
    assert shown.count("4 mutants") == 6
    assert "56 mutants" in shown


def test_names_are_escaped(make: Make) -> None:
    names = ["<script>alert(1)<script>", 'a"&\x1b\x07']
    run = make({each: {"lt-to-le.<b>.0.1": KILLED} for each in names}, name="<i>")
    shown = picture(run)
    assert not re.search(r"<(script|b|i)>|\x1b|\x07", shown)
    assert "lt-to-le.<b>.0.1".removeprefix("lt-to-le.") in texts(shown)
    assert {"<script>alert(1)<script>", 'a"&??'} <= set(texts(shown))
