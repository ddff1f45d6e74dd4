"""``mutatenn images``: the images of a run, and of runs that hardly began."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import mutatenn
from mutatenn.analysis.images.kill_matrix import kill_matrix
from mutatenn.analysis.images.missing import brightness
from mutatenn.analysis.images.worth import Survivor
from mutatenn.api.mutant import Mutant
from mutatenn.api.verdict import Verdict
from mutatenn.campaign.config.resources import data_folder
from mutatenn.results.store import Store
from mutatenn.testing import made_run

Command = Callable[..., Any]


def printed(done: Any) -> str:
    assert (done.code, done.err) == (0, "")
    return str(done.out)


def test_the_page_of_a_run(finished: Any, command: Command) -> None:
    lines = printed(command("images", finished.directory)).splitlines()
    assert lines[0].startswith("environment cpu: 25 images kill ")
    assert lines[0].endswith(" of 4 valid mutants")
    (cover,) = (line for line in lines if " kill all " in line or " kills all " in line)
    assert "no smaller set exists" in cover
    assert "images by kills" in lines
    closest = lines.index("survivors closest to being noticed, and what an image lost of its margin")
    assert lines[closest + 2].split()[0].startswith("store-int16.")


def test_the_object_says_what_the_outputs_say(finished: Any, command: Command) -> None:
    found = json.loads(printed(command("images", finished.directory, "--json")))["cpu"]
    run = mutatenn.open_run(finished.directory)
    names, matrix = list(run.image_names), kill_matrix(run, "cpu").dense()
    original = run.outputs("cpu", None).argmax(axis=1)
    outputs = [run.outputs("cpu", mutant) for mutant in run.mutants_of("cpu")]
    noticed = [(each.argmax(axis=1) != original) | ~np.isfinite(each).all(axis=1) for each in outputs]
    kills = np.sum(noticed, axis=0)
    assert found["kills"] == dict(zip(names, kills.tolist(), strict=True))
    assert found["killed"] == matrix.any(axis=1).sum() == found["cover"]["images"][last(found)]
    assert found["mutants"] == 4
    assert found["cover"]["minimal"] is True
    assert found["cover"]["lower_bound"] == len(found["cover"]["images"]) <= found["cover"]["greedy"]
    covered = matrix[:, [names.index(each) for each in found["cover"]["images"]]].any(axis=1)
    assert (covered == matrix.any(axis=1)).all()
    assert [each["mutant"].split(".")[0] for each in found["survivors"]] == ["store-int16"]


def test_further_images_are_tried_on_the_survivors(
    finished: Any, write: Callable[..., Path], command: Command, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    more.mkdir()
    for path in sorted((data_folder() / "digits").glob("*_001*.png")):
        shutil.copy(path, more)
    kept = [
        path for path in finished.directory.rglob("*") if path.suffix not in {".sqlite-shm", ".sqlite-wal"}
    ]
    before = {path: path.stat().st_mtime_ns for path in kept}
    (found,) = json.loads(
        printed(command("images", finished.directory, "--environment", "cpu", "--try", more, "--json"))
    ).values()
    told = printed(command("images", finished.directory, "--environment", "cpu", "--try", more)).splitlines()
    assert {path: path.stat().st_mtime_ns for path in before} == before, "the run stays as it is"
    run = mutatenn.open_run(finished.directory)
    statuses = run.statuses("cpu")
    survivors = [name for name, status in statuses.items() if status in {"survived", "never-infected"}]
    campaign = write(('images = "mutatenn:digits/*_00*.png"', f'images = "{more}/*.png"'))
    whole = mutatenn.run(campaign, tmp_path / "whole")
    killed = [name for name in survivors if whole.statuses("cpu")[name] == "killed"]
    tried = found["tried"]
    assert (tried["images"], tried["survivors"], tried["killed"]) == (
        len(list(more.iterdir())),
        len(survivors),
        len(killed),
    )
    assert max(tried["cover"].values(), default=0) == len(killed)
    line = (
        f"environment cpu: {tried['images']} further images would notice {len(killed)} of {len(survivors)} "
    )
    assert any(each.startswith(line) for each in told)


def test_nothing_survived_so_nothing_is_tried(command: Command, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", {"cpu": {"lt-to-le.x.0.0": {"status": "killed", "images": 10}}})
    done = command("images", run.directory, "--try", "mutatenn:digits/*_00*.png")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mutatenn: error: no mutant survived in cpu: there is nothing to try\n"


def test_which_images_are_missing(finished: Any, command: Command) -> None:
    found = json.loads(printed(command("images", finished.directory, "--json")))["cpu"]
    original = mutatenn.open_run(finished.directory).outputs("cpu", None)
    names = mutatenn.open_run(finished.directory).image_names
    assert sum(each["survivors"] for each in found["missing"]) == sum(
        each["image"] is not None for each in found["survivors"]
    )
    for border in found["missing"]:
        for image in border["images"]:
            other, label = np.argsort(original[names.index(image)])[-2:]
            assert (border["label"], border["other"]) == (label, other)
    page = printed(command("images", finished.directory))
    assert ("images to add: of this output, almost the other" in page) is bool(found["missing"])


def test_near_images_that_are_darker_than_most(tmp_path: Path) -> None:
    from PIL import Image

    for index in range(20):
        Image.new("L", (8, 8), 10 if index < 5 else 100 + index).save(tmp_path / f"{index}_a.png")
    run = made_run(tmp_path / "run", {"cpu": {"lt-to-le.x.0.0": {"status": "survived", "images": 10}}})
    text = (run.directory / "campaign.toml").read_text()
    (run.directory / "campaign.toml").write_text(text.replace("mutatenn:digits/*.png", f"{tmp_path}/*.png"))
    near = [Survivor(f"m{index}", 0.5, f"{index}_a.png", 0, 1) for index in range(5)]
    found = brightness(run, near)
    assert found is not None
    assert found.nearest == 10
    assert found.low > 10
    assert brightness(run, near[:3]) is None, "too few to tell"
    assert brightness(run, [attrs.evolve(each, image="x") for each in near]) is None


def last(found: dict[str, Any]) -> str:
    return list(found["cover"]["images"])[-1]


def test_one_environment(finished: Any, command: Command) -> None:
    whole = printed(command("images", finished.directory))
    assert printed(command("images", finished.directory, "--environment", "cpu")) == whole
    done = command("images", finished.directory, "--environment", "cpi")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mutatenn: error: unknown environment 'cpi'; did you mean 'cpu'?\n"


def test_no_run(command: Command, tmp_path: Path) -> None:
    done = command("images", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "is not a run directory" in done.err


def test_before_any_verdict(finished: Any, command: Command, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished.directory, copy)
    database = sqlite3.connect(copy / "campaign.sqlite")
    with database:
        database.execute("DELETE FROM verdicts")
    database.close()
    told = "environment cpu: no mutant was judged yet; `mutatenn run` continues it\n"
    assert printed(command("images", copy)) == told
    assert json.loads(printed(command("images", copy, "--json"))) == {"cpu": None}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a run of images and verdicts: status, and the images that killed."""

    def make(images: list[str], *verdicts: tuple[str, list[str]]) -> Path:
        store = Store.create(tmp_path)
        mutants = [Mutant(f"m{number}", "op", "LN", "graph", "graph", ()) for number in range(len(verdicts))]
        plans = {"cpu": (mutants, [])}
        rows = [(name, None, "") for name in images]
        store.set_plan(rows, plans, identity="by hand", environments=["cpu"], shards=1)
        for mutant, (status, killed) in zip(mutants, verdicts, strict=True):
            store.set_verdict(Verdict("cpu", mutant.id, status, killed_images=tuple(killed)))  # type: ignore[arg-type]
        store.close()
        return tmp_path

    return make


def test_no_kills(make: Callable[..., Path], command: Command) -> None:
    run = make(["a.png", "b.png"], ("never-infected", []), ("crashed", []), ("killed", []))
    assert printed(command("images", run)) == (
        "environment cpu: 2 images kill 0 of 3 valid mutants\n\n"
        "kill nothing: 2 images\n  a.png, b.png\n\n"
        "detected, but not by single images\n"
        "  killed by the outputs as a whole: 1 mutant\n    m2\n"
        "  crashed: 1 mutant\n    m1\n"
    )


def test_one_image(make: Callable[..., Path], command: Command) -> None:
    run = make(["a\x1b[31m.png"], ("killed", ["a\x1b[31m.png"]))
    assert printed(command("images", run)) == (
        "environment cpu: 1 image kills 1 of 1 valid mutant\n\n"
        "1 image kills all 1 (no smaller set exists; found by greedy search)\n"
        "  image       killed so far\n"
        "  a?[31m.png              1  100%\n\n"
        "images by kills\n  image       kills\n  a?[31m.png      1\n\n"
        "only one image kills: 1 mutant\n  mutant  image\n  m0      a?[31m.png\n"
    )


def test_long_lists_are_cut(make: Callable[..., Path], command: Command) -> None:
    images = [f"{number:02}.png" for number in range(12)]
    each = [("killed", [name]) for name in images]
    page = printed(
        command("images", make([*images, "idle.png", "less.png"], *each, ("killed", [images[3], "less.png"])))
    )
    assert "12 images kill all 13 (no smaller set exists; found by greedy search)" in page
    assert page.count("and 2 more\n") == 1
    assert ["03.png", "2", "15%"] in [line.split() for line in page.splitlines()]
    assert "only one image kills: 12 mutants\n" in page
    assert "and 7 more\n" in page
    assert "kill nothing: 1 image\n  idle.png\n" in page
    assert "kill only what another image kills: 1 image\n  image     the other\n  less.png  03.png" in page


def test_ties_go_to_the_first_name(make: Callable[..., Path], command: Command) -> None:
    run = make(["a", "b", "c"], ("killed", ["a", "b"]), ("killed", ["b", "c"]), ("killed", ["a", "c"]))
    found = json.loads(printed(command("images", run, "--json")))["cpu"]
    assert found["cover"]["images"] == {"a": 2, "b": 3}
    assert list(found["kills"]) == ["a", "b", "c"]
