"""``mutatenn show``: one mutant from its code to its outcome."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mutatenn

Command = Callable[..., Any]


def test_a_killed_mutant(finished: Any, command: Command) -> None:
    done = command("show", finished.directory, "transpose")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    words = [line.split(maxsplit=1) for line in lines[:6]]
    assert [name for name, _ in words] == ["mutant", "operator", "category", "level", "stage", "site"]
    assert words[1][1] == "transpose-conv2d-data: Swap height and width of what a convolution reads."
    assert words[5][1].startswith("main 1  lv")
    assert any(line.startswith("+ ") and "R.permute_dims(" in line for line in lines)
    (outcome,) = (line for line in lines if line.startswith("cpu: "))
    assert outcome.startswith("cpu: killed by top-1 (")
    assert "\x1b" not in done.out


def test_the_labels_of_killed_images(finished: Any, command: Command) -> None:
    run = mutatenn.open_run(finished.directory)
    record = run.mutants[0]
    shown = json.loads(command("show", finished.directory, record.id, "--json").out)
    labels = shown["environments"]["cpu"]["labels"]
    before = np.argmax(run.outputs("cpu", None), axis=1)
    after = np.argmax(run.outputs("cpu", record.id), axis=1)
    assert labels == [
        {"image": name, "original": int(one), "mutant": int(other)}
        for name, one, other in zip(run.image_names, before, after, strict=True)
        if one != other
    ]
    text = command("show", finished.directory, record.id).out.splitlines()
    first = text.index("  killed on (top-1 output index):") + 2
    assert [line.split() for line in text[first : first + 5]] == [
        [each["image"], str(each["original"]), str(each["mutant"])] for each in labels[:5]
    ]
    assert text[first + 5] == f"  and {len(labels) - 5} more"


def test_the_object_holds_verdict_and_diff(finished: Any, command: Command) -> None:
    shown = json.loads(command("show", finished.directory, "store-int16", "--json").out)
    outcome = shown["environments"]["cpu"]
    assert (outcome["verdict"]["status"], outcome["labels"]) == ("survived", [])
    assert 'T.Cast("int16"' in outcome["diff"]
    assert shown["sites"][0]["unit"] == "softmax"


def test_a_terminal_gets_colours(finished: Any, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = command("show", finished.directory, "store-int16").out
    (added,) = (line for line in shown.splitlines() if "int16" in line and "Cast" in line)
    assert added.startswith("\x1b[32m+ ")
    assert added.endswith("\x1b[0m")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in command("show", finished.directory, "store-int16").out
