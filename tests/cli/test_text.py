"""Text for a terminal lines up and cannot steer it."""

from __future__ import annotations

import os
import sys

import pytest

from mutatenn.cli._text import coloured, columns, fitted


def test_columns_line_up() -> None:
    table = columns([("name", "sites", "note"), ("a", 1, "x"), ("bcdef", 20, "")], right=[1])
    assert table.splitlines() == ["name   sites  note", "a          1  x", "bcdef     20"]


def test_what_could_steer_a_terminal_is_a_question_mark() -> None:
    assert columns([("\x1b[2Jname\n\u202e", "\x07")]) == "?[2Jname??  ?"
    assert coloured("+\x1b[31m\n-b") == "+?[31m\n-b"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make standard output a terminal of 30 columns."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((30, 24)))


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_widest_columns_are_cut() -> None:
    rows = [("name", "n", "code"), ("x" * 40, 1234, "y" * 13)]
    assert columns(rows, right=[1]).splitlines() == [
        "name             n  code",
        f"{'x' * 9}...  1234  {'y' * 9}...",
    ]
    assert columns(rows, right=[1], whole=True).splitlines()[1] == f"{'x' * 40}  1234  {'y' * 13}"
    narrow = [("a" * 12, "b" * 12, "c" * 12)]
    assert columns(narrow) == f"{'a' * 12}  {'b' * 12}  {'c' * 12}", "nothing is left to cut"


def test_elsewhere_all_is_there() -> None:
    assert columns([("x" * 300, "y" * 300)]) == f"{'x' * 300}  {'y' * 300}"


def test_fitted() -> None:
    assert [fitted("abcdef", width) for width in (5, 6, 7)] == ["ab...", "abcdef", "abcdef"]
