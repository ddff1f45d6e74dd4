"""Nothing that a file, a model or a plugin is called can steer the terminal, flood it, or end a command."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mutatenn import InputError
from mutatenn.cli._streams import OneLine, tell_error
from mutatenn.printable import one_line, printable, shortened

Command = Callable[..., Any]
Write = Callable[..., Path]

HOSTILE = "\x1b[31m\x9b2J\x07\x00\x7f\u202e\u2066\u2028\udc80\r\nforged: line"


def clean(told: str) -> bool:
    return all(line.isprintable() for line in told.split("\n"))


def test_nothing_but_what_can_be_seen() -> None:
    assert printable("é 日本 \x1b[31m\u202e") == "é 日本 ?[31m?"
    assert one_line(HOSTILE) == "?[31m?2J????? ? forged: line"
    assert clean(one_line(HOSTILE))
    assert shortened("a" * 200 + "b" * 300) == "a" * 200 + "b" * 300
    cut = shortened("a" * 50_000 + "b" * 50_000)
    assert (len(cut), cut[:3], cut[-3:], " ... " in cut) == (500, "aaa", "bbb", True)


def test_an_error_is_as_many_lines_as_it_has_problems(capsys: pytest.CaptureFixture[str]) -> None:
    error = InputError(f"{HOSTILE}: 200 problems", HOSTILE, "x" * 9999, *(f"p{i}" for i in range(198)))
    tell_error(error)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "mutatenn: error: ?[31m?2J????? ? forged: line: 200 problems"
    assert told[1] == "?[31m?2J????? ? forged: line"
    assert len(told[2]) == 500
    assert told[-2:] == ["p97", "and 100 more"]
    assert len(told) == 102


def test_a_log_line_is_one_line_and_its_trace_is_printable() -> None:
    cause = (ValueError, ValueError(HOSTILE), None)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s failed", (HOSTILE,), cause)
    lines = OneLine().format(record).split("\n")
    assert lines[0] == "mutatenn: ?[31m?2J????? ? forged: line failed"
    assert clean("\n".join(lines))
    assert lines[1].startswith("ValueError: ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mutatenn:digits.onnx", r"\u001b[31mred\u202e\r\n.onnx"),
        ("mutatenn:digits.onnx", "x" * 100_000 + ".onnx"),
        ('"small"', r'"\u001b[2J\u0000"'),
        ("store-int16", r"store\u009b2J"),
        ("mutatenn:digits/*_00*.png", r"\u001b]0;title\u0007*.png"),
        ("seed", "se"),
    ],
)
def test_hostile_names_in_a_campaign_file(command: Command, write: Write, old: str, new: str) -> None:
    done = command("plan", write(("[model]", "seed = 1\n[model]"), (old, new)))
    assert (done.code, done.out) == (2, "")
    assert clean(done.err)
    assert done.err.count("\n") == 1
    assert len(done.err) < 600


@pytest.mark.parametrize("name", ["\x1b[31mred.png", "new\nline.png", "bidi\u202e.png", b"\x80.png"])
def test_hostile_file_names(command: Command, write: Write, tmp_path: Path, name: str | bytes) -> None:
    (tmp_path / "images").mkdir()
    place = os.path.join(os.fsencode(tmp_path / "images"), os.fsencode(name))
    with open(place, "wb") as file:
        file.write(b"no image")
    done = command("plan", write(("mutatenn:digits/*_00*.png", "images/*.png")))
    assert (done.code, done.out) == (2, "")
    assert clean(done.err)
    assert done.err.count("\n") == 1


def test_wrong_usage_repeats_nothing_that_steers(capsys: pytest.CaptureFixture[str]) -> None:
    from mutatenn.cli.main import main

    with pytest.raises(SystemExit):
        main(["report", "run", "--\x1b[31m" + "y" * 5000])
    told = capsys.readouterr().err
    assert clean(told)
    assert len(told) < 2000


@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">/dev/full", 4), (">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("| head -c1 >/dev/null", 0)],
)
def test_streams_that_are_full_or_closed(redirection: str, code: int) -> None:
    script = f"{sys.executable} -m mutatenn plugins {redirection}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (code != 0)


def test_letters_that_the_terminal_does_not_have(write: Write, tmp_path: Path) -> None:
    script = (
        "from mutatenn.cli.main import main; import sys; code = main(['plan', sys.argv[1]])\nprint('\u00e9')"
    )
    environment = {"PYTHONIOENCODING": "ascii:strict", "LANG": "C", "PATH": "", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", script, "n\u00e9.toml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\\xe9\n")
    assert done.stderr.startswith("mutatenn: error: no campaign file 'n\\xe9.toml'")
