"""``mutatenn check``: a campaign file is looked over, and nothing is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
Write = Callable[..., Path]


def test_a_sound_file(write: Write, command: Command) -> None:
    campaign = write()
    done = command("check", campaign)
    assert (done.code, done.err) == (0, "")
    first, *lines = done.out.splitlines()
    assert first == f"{campaign} is sound: campaign small"
    assert [line.split()[0] for line in lines] == ["model", "images", "environments", "operators"]
    assert "25, with true classes" in lines[1]
    about = json.loads(command("check", campaign, "--json").out)
    assert about["operators"] == [
        "transpose-conv2d-data",
        "exp-conv2d-before",
        "store-int16",
        "store-minus-epsilon",
    ]
    assert (about["images"], about["environments"]) == (25, ["cpu"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ((("digits.onnx", "digit.onnx"),), "model.path: "),
        ((("mutatenn:digits/", "mutatenn:digit/"),), "dataset.images: "),
        ((("[model]", "[limits]\ntime_factors = 2\n[model]"),), "time_factors"),
    ],
)
def test_what_is_wrong_is_told(write: Write, command: Command, changes: Any, told: str) -> None:
    done = command("check", write(*changes))
    assert (done.code, done.out) == (2, "")
    assert told in done.err


@pytest.mark.parametrize(
    ("tail", "told"),
    [
        ('[execution]\nexecutor = "fork"\noptions = { speed = 9 }\n', "speed"),
        ('[[reporters]]\nname = "terminal"\noptions = { progress = "loud" }\n', "loud"),
        ('[[mutations]]\noperator = "store-int16"\noptions = { sigma = 1 }\n', "sigma"),
    ],
)
def test_options_that_a_plugin_does_not_take(write: Write, command: Command, tail: str, told: str) -> None:
    done = command("check", write(tail=tail))
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_neither_the_compiler_nor_a_framework_is_imported(write: Write) -> None:
    script = (
        "import sys; from mutatenn.cli.main import main; "
        f"code = main(['check', {str(write())!r}]); "
        "print(code, [name for name in ('tvm', 'onnx', 'onnxruntime', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
