"""``mutatenn show --trace``: a mutant's difference from its first kernel to the output."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn

Command = Callable[..., Any]


def traced(finished: Any, command: Command, mutant: str, *options: str) -> Any:
    (only,) = json.loads(command("show", finished.directory, mutant, "--trace", "--json", *options).out)
    return only


def test_it_begins_at_the_fault_and_ends_at_the_stored_output(finished: Any, command: Command) -> None:
    run = mutatenn.open_run(finished.directory)
    record = run.mutant("transpose")
    shown = traced(finished, command, "transpose")
    row = run.image_names.index(shown["image"])
    assert shown["image"] == record.verdicts["cpu"].killed_images[0]
    before, after = (run.outputs("cpu", name)[row] for name in (None, record.id))
    assert (shown["original_label"], shown["mutant_label"]) == (before.argmax(), after.argmax())
    last = shown["hops"][-1]
    assert last["max_abs"] == pytest.approx(np.abs(before - after).max(), rel=1e-6)
    assert last["relative"] == pytest.approx(np.abs(before - after).max() / before.max(), rel=1e-6)
    assert last["changed"] == (before != after).mean()
    different = [hop["changed"] is None or hop["changed"] > 0 for hop in shown["hops"]]
    assert any(different)
    assert not all(different)
    assert different == sorted(different), "equal up to the fault, different after it"
    assert shown["hops"][different.index(True)]["mutated"]
    text = command("show", finished.directory, "transpose", "--trace").out.splitlines()
    assert text[0].startswith(f"{record.id} on {shown['image']} in cpu: label {after.argmax()} instead of ")
    assert text[1].startswith(f"first divergent: call {different.index(True)} of ")
    assert len(text) == 3 + different.count(True)


def test_the_image_can_be_chosen(finished: Any, command: Command) -> None:
    run = mutatenn.open_run(finished.directory)
    for name in run.image_names[3:5]:
        shown = traced(finished, command, "store-int16", "--image", name)
        row = run.image_names.index(name)
        labels = run.outputs("cpu", None)[row].argmax(), run.outputs("cpu", shown["mutant"])[row].argmax()
        assert (shown["image"], (shown["original_label"], shown["mutant_label"])) == (name, labels)


def test_what_never_differs_says_so(finished: Any, command: Command) -> None:
    done = command("show", finished.directory, "store-minus", "--trace")
    assert done.code == 0
    assert done.out.splitlines()[1] == "no value differs from the original's"


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        (["--trace", "--image", "0_000.pn"], "did you mean"),
        (["--image", "0_000.png"], "--image goes with --trace; give both"),
    ],
)
def test_wrong_use(finished: Any, command: Command, options: list[str], cure: str) -> None:
    done = command("show", finished.directory, "store-int16", *options)
    assert done.code == 2
    assert cure in done.err
    assert len(done.err.splitlines()) == 1


def test_another_model_is_refused(finished: Any, command: Command, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished.directory, copy)
    campaign = copy / "campaign.toml"
    campaign.write_text(campaign.read_text().replace("mean = 127.5", "mean = 120.0"))
    assert campaign.read_text() != (finished.directory / "campaign.toml").read_text()
    done = command("show", copy, "store-int16", "--trace")
    assert done.code == 2
    assert "have changed since it ran" in done.err
