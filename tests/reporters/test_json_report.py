"""The JSON reporter's file: complete, valid, stable, whole."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import numpy as np
import pytest

import mutatenn
from mutatenn import InputError
from mutatenn.results.run import Run
from mutatenn.results.store import Store
from mutatenn_reporters import json as reporter

Make = Callable[..., Run]

SCHEMA = json.loads(Path(reporter.__file__).with_name("report.schema.json").read_text())
KILLED = {"status": "killed", "by": ("top-1",), "images": 10, "killed": 1, "killed_images": ("0_a.png",)}


def write(run: Run, directory: Path) -> Any:
    """Report, and read the file as strictly as JSON is meant: no NaN, no infinity."""
    said = reporter.Json().report(run, directory)
    assert said == f"wrote {directory / 'report.json'}"
    document = json.loads((directory / "report.json").read_bytes(), parse_constant=pytest.fail)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def test_a_real_run(finished: Any, tmp_path: Path) -> None:
    run = finished.run
    document = write(run, tmp_path / "new" / "report")
    assert document["campaign"] == "small"
    assert document["not_run"] == 0
    assert document["provenance"]["versions"]["mutatenn"] == mutatenn.__version__
    assert [tuple(image.values()) for image in document["images"]] == run._store.images()
    assert [each["name"] for each in document["environments"]] == ["cpu", "cpu-basic"]
    (between,) = document["noise_between_environments"]
    assert between["environments"] == ["cpu", "cpu-basic"]
    assert between["max_abs"] == np.abs(run.outputs("cpu", None) - run.outputs("cpu-basic", None)).max()


def test_an_environment_of_a_real_run(finished: Any, tmp_path: Path) -> None:
    run = finished.run
    basic = write(run, tmp_path)["environments"][1]
    score = run.score("cpu-basic")
    assert basic["profile"] == "basic"
    assert basic["noise_floor"] == run.baselines["cpu-basic"].noise
    assert basic["mutants"] == 6
    assert basic["baseline"] == {**attrs.asdict(run.baselines["cpu-basic"]), "problems": [], "remarks": []}
    assert basic["score"]["counts"] == score.counts
    assert (basic["score"]["detected"], basic["score"]["valid"]) == (score.detected, score.valid)
    assert basic["score"]["value"] == score.value
    assert [each["mutants"] for each in basic["operators"]] == [2, 2, 2, 0]


def test_every_mutant_and_verdict_of_a_real_run(finished: Any, tmp_path: Path) -> None:
    run = finished.run
    mutants = write(run, tmp_path)["mutants"]
    assert len(mutants) == len(run.mutants)
    for written, record in zip(mutants, run.mutants, strict=True):
        about = json.loads(json.dumps(attrs.asdict(record.mutant)))
        verdicts = {name: attrs.asdict(verdict) for name, verdict in record.verdicts.items()}
        remarks = {"skipped": None, "accepted": None}
        assert written == {**about, **remarks, "verdicts": json.loads(json.dumps(verdicts))}


def test_a_mutant_is_a_line(finished: Any, tmp_path: Path) -> None:
    mutants = write(finished.run, tmp_path)["mutants"]
    lines = (tmp_path / "report.json").read_text().splitlines()
    assert [json.loads(line.rstrip(",")) for line in lines[-2 - len(mutants) : -2]] == mutants


def test_memory_does_not_grow_with_the_mutants(make: Make, tmp_path: Path) -> None:
    run = make({"cpu": {f"lt-to-le.x.{n}.0": {**KILLED, "message": "m" * 500} for n in range(1500)}})
    reporter.Json().report(run, tmp_path)  # imports what it needs
    tracemalloc.start()
    reporter.Json().report(run, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000
    assert (tmp_path / "report.json").stat().st_size > 1_100_000


def test_every_status_is_valid(make: Make, tmp_path: Path) -> None:
    statuses = SCHEMA["$defs"]["verdict"]["properties"]["status"]["enum"]
    ended = {f"lt-to-le.x.{n}.0": {"status": status, "signal": n} for n, status in enumerate(statuses)}
    document = write(make({"cpu": ended}), tmp_path)
    assert document["score"]["counts"] == dict.fromkeys(statuses, 1)
    assert document["score"]["value"] == pytest.approx(3 / 5)


def test_an_unfinished_run(make: Make, tmp_path: Path) -> None:
    run = make({"a": {"lt-to-le.x.0.0": KILLED, "lt-to-le.x.1.0": None}, "b": {"lt-to-le.x.0.0": None}})
    document = write(run, tmp_path)
    assert document["not_run"] == 2
    assert [each["not_run"] for each in document["environments"]] == [1, 1]
    assert [list(mutant["verdicts"]) for mutant in document["mutants"]] == [["a"], []]
    assert document["environments"][1]["score"]["value"] is None


def test_what_is_not_finite_is_null(make: Make, tmp_path: Path) -> None:
    run = make({"a": {}, "b": {}}, noise=math.inf, reference_difference=math.nan, problems=("not finite",))
    store = Store.open(run.directory, write=True)
    store.set_baseline(run.baselines["a"], np.full((10, 10), np.inf, np.float32))
    store.set_baseline(run.baselines["b"], np.full((10, 10), np.inf, np.float32))
    store.close()
    document = write(run, tmp_path)
    assert document["environments"][0]["noise_floor"] is None
    assert document["environments"][0]["baseline"]["reference_difference"] is None
    assert document["noise_between_environments"][0]["max_abs"] is None


def test_any_name_is_kept(make: Make, tmp_path: Path) -> None:
    name = '"\x1b]0;x\x07\u202e\n/'
    assert write(make({"cpu": {}}, name=name), tmp_path)["campaign"] == name
    assert (tmp_path / "report.json").read_bytes().isascii()


@pytest.mark.parametrize("blocked", [".", "report.json/x"])
def test_a_file_that_cannot_be_written_is_wrong_input(make: Make, tmp_path: Path, blocked: str) -> None:
    directory = tmp_path / "report"
    if blocked == ".":
        directory.write_text("a file where a folder should be")
    else:
        (directory / blocked).mkdir(parents=True)
    with pytest.raises(InputError, match=r"^cannot write .*report\.json: .*; choose another folder$"):
        reporter.Json().report(make({"cpu": {}}), directory)
    assert [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"] == []
