"""Tables over factors: numbers that were published come out of the seconds they were made from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn import Run, Table
from mutatenn.analysis.environments.grid import Place, grid
from mutatenn.results.store import Store
from mutatenn.testing.runs import made_run

NO_MUTANTS: dict[str, Any] = {}


def measured(
    directory: Path,
    seconds: Mapping[str, Any],
    factors: Mapping[str, Mapping[str, str]],
    failures: Mapping[str, str] | None = None,
) -> Run:
    """Return a run whose originals take these seconds: of one image, or ``[repeats, images]``."""
    names = [*seconds, *(failures or {})]
    return made_run(
        directory,
        dict.fromkeys(names, NO_MUTANTS),
        facts={name: {"factors": dict(factors[name])} for name in names},
        times={name: np.atleast_2d(value) for name, value in seconds.items()},
        failures=failures or {},
    )


def tables(*runs: Run) -> dict[str, Table]:
    return {table.name: table for table in mutatenn.compare(runs, {}).tables()[0]}


def lacking(*runs: Run) -> str:
    return "\n".join(mutatenn.compare(runs, {}).tables()[1])


def test_gains_of_optimisation_by_framework_and_device(tmp_path: Path) -> None:
    """DeltaNN's tables I, II and V, of the ratios they hold; a cell may be slower by far, or have failed."""
    ratios = {
        ("tflite", "server"): (1.065, 1.022),
        ("tflite", "hikey"): (0.186, 1.5),
        ("pytorch", "server"): (1.25, 2.0),
    }
    seconds: dict[str, float] = {}
    factors: dict[str, dict[str, str]] = {}
    for (framework, device), (basic, default) in ratios.items():
        extended = 0.1
        times = {"basic": basic * default * extended, "default": default * extended, "extended": extended}
        for profile, value in times.items():
            name = f"{framework}-{device}-{profile}"
            seconds[name] = value
            factors[name] = {"framework": framework, "device": device, "profile": profile}
    factors["broken"] = {"framework": "pytorch", "device": "hikey", "profile": "default"}
    factors["whole"] = {"framework": "pytorch", "device": "hikey", "profile": "basic"}
    seconds["whole"] = 1.0
    found = tables(measured(tmp_path / "run", seconds, factors, {"broken": "it died of SIGSEGV"}))
    first = found["gain-profile-basic-default"]
    assert first.head == ("framework", "server", "hikey")
    assert first.texts() == [["tflite", "6.5", "-81.4"], ["pytorch", "25", "FAILED"]]
    assert found["gain-profile-default-extended"].texts() == [
        ["tflite", "2.2", "50"],
        ["pytorch", "100", "-"],
    ]
    assert found["gain-profile-basic-extended"].texts()[0][1] == "8.84"


def test_what_single_passes_bring(tmp_path: Path) -> None:
    """DeltaNN's tables III and IV: the percentage of the time without any pass; a pass may fail."""
    seconds = {"basic": 467.42, "plus-FuseOps": 456.25, "plus-FoldConstant": 480.09, "extended": 100.0}
    factors = {name: {"profile": name} for name in (*seconds, "plus-ConvertLayout")}
    run = measured(tmp_path / "run", seconds, factors, {"plus-ConvertLayout": "it died of SIGSEGV"})
    rows = {row[0]: row[1:3] for row in tables(run)["to-first-profile"].texts()}
    assert rows == {
        "basic": ["467420", "0"],
        "plus-FuseOps": ["456250", "2.39"],
        "plus-FoldConstant": ["480090", "-2.71"],
        "extended": ["100000", "78.6"],
        "plus-ConvertLayout": ["FAILED", "FAILED"],
    }
    assert "no table for each two of profile: there are 5" in lacking(run)


def test_devices_against_each_other(tmp_path: Path) -> None:
    """DeltaNN's figures 3 to 5: how much longer a column takes than a row, in percent of the row's time."""
    seconds = {"a": 0.2, "b": 0.1, "c": 0.5}
    found = tables(measured(tmp_path / "run", seconds, {name: {"device": name} for name in seconds}))
    table = found["times-device"]
    assert table.drawn == "shades"
    assert table.texts() == [["a", "0", "-50", "150"], ["b", "100", "0", "400"], ["c", "-60", "-80", "0"]]


def test_labels_by_framework(tmp_path: Path) -> None:
    """DeltaNN's figure 1: a triangle, in percent of the images."""
    names = "keras", "tflite"
    run = measured(tmp_path / "run", dict.fromkeys(names, 0.1), {name: {"framework": name} for name in names})
    assert "no label differs" in lacking(run)
    outputs = np.eye(10, dtype=np.float32)
    other = outputs.copy()
    other[:4] = np.roll(other[:4], 1, axis=1)
    store = Store.open(run.directory, write=True)
    for name, values in zip(names, (outputs, other), strict=True):
        store.set_baseline(run.baselines[name], values)
    store.close()
    assert tables(Run.open(run.directory))["labels-framework"].texts() == [
        ["keras", "0", "-"],
        ["tflite", "40", "0"],
    ]


def test_each_image_as_boxes(tmp_path: Path) -> None:
    """DeltaNN's figures 6 to 14: of each image, as a percentage of its time on the base."""
    base = np.array([[1.0, 2.0, 4.0, 8.0]])
    slower = base * [[1.1, 1.2, 1.3, 1.4]]
    run = measured(
        tmp_path / "run", {"a": base, "b": slower}, {"a": {"framework": "a"}, "b": {"framework": "b"}}
    )
    rows = {tuple(row[:2]): row[2:] for row in tables(run)["boxes-framework"].rows}
    assert rows["a", "b"] == pytest.approx((10, 17.5, 25, 32.5, 40, 4), rel=1e-5)
    assert rows["b", "a"][2] == pytest.approx(100 * (np.median([1 / 1.1, 1 / 1.2, 1 / 1.3, 1 / 1.4]) - 1))


def test_variance_is_that_of_the_images(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    same, longer = draw.normal(1, 0.01, (2, 5, 8)), draw.normal(1.5, 0.01, (5, 8))
    times = {"a": same[0], "b": same[1], "c": longer}
    levels = {"a": ("x", "1"), "b": ("x", "2"), "c": ("y", "1")}
    factors = {name: dict(zip(("device", "profile"), each, strict=True)) for name, each in levels.items()}
    found = tables(measured(tmp_path / "run", times, factors))
    assert found["anova-profile"].rows[0][:2] == ("x", 2)
    assert found["anova-profile"].rows[0][2] > 0.05  # type: ignore[operator]  # a float
    assert found["anova-device"].rows[0][2] < 1e-6  # type: ignore[operator]  # a float


def test_the_runs_of_several_machines(tmp_path: Path) -> None:
    """Where nothing else tells environments apart, their run does; devices of one's own are devices."""
    one = measured(tmp_path / "server", {"cpu": 0.1}, {"cpu": {"device": "llvm"}})
    other = measured(tmp_path / "board", {"cpu": 0.4}, {"cpu": {"device": "llvm"}})
    assert tables(one, other)["times-run"].texts() == [["server", "0", "300"], ["board", "-75", "0"]]
    named = measured(tmp_path / "named", {"cpu": 0.4}, {"cpu": {"device": "board"}})
    assert tables(one, named)["times-device"].head == ("device", "llvm", "board")


def test_factors_that_change_together_are_one() -> None:
    levels = {"a": ("keras", "native", "x"), "b": ("onnx", "other", "x"), "c": ("onnx", "other", "y")}
    keys = "framework", "route", "mine"
    found = grid([Place(name, dict(zip(keys, each, strict=True))) for name, each in levels.items()])
    assert dict(found.factors) == {"framework": ("keras", "onnx"), "mine": ("x", "y")}
    assert "nothing by route alone: it changes with framework" in found.left_out


def test_what_has_no_place_is_named() -> None:
    places = [Place("a", {"profile": "x"}), Place("b", {"profile": "x"}), Place("c", {"profile": "y"})]
    found = grid(places)
    assert [each.name for each in found.places] == ["a", "c"]
    assert "b is left out: a has the same factors" in found.left_out[0]


def test_all_environments_alike(tmp_path: Path) -> None:
    """There are no factors: what is told of each is told."""
    run = measured(tmp_path / "run", {"a": 0.1, "b": 0.1}, {name: {"device": "x"} for name in "ab"})
    assert "nothing by device: it is x everywhere" in lacking(run)
    assert [row[0] for row in tables(run)["environments"].texts()] == ["a", "b"]


def test_every_table_that_is_drawn_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw = np.random.default_rng(1)
    names = [f"{profile}-{device}" for profile, device in itertools.product("pq", "xy")]
    factors = {name: {"profile": name[0], "device": name[2]} for name in names}
    run = measured(tmp_path / "run", {name: draw.uniform(1, 2, (3, 4)) for name in names}, factors)
    drawn = [table for table in tables(run).values() if table.drawn]
    assert {table.drawn for table in drawn} == {"shades", "boxes"}
    for table in drawn:
        assert "<svg" in table.plot()._repr_svg_()
    with pytest.raises(mutatenn.InputError, match="'environments' is not drawn"):
        tables(run)["environments"].plot()
