"""Text for a terminal lines up and cannot steer it."""

from __future__ import annotations

from mutatenn.cli._text import coloured, columns


def test_columns_line_up() -> None:
    table = columns([("name", "sites", "note"), ("a", 1, "x"), ("bcdef", 20, "")], right=[1])
    assert table.splitlines() == ["name   sites  note", "a          1  x", "bcdef     20"]


def test_what_could_steer_a_terminal_is_a_question_mark() -> None:
    assert columns([("\x1b[2Jname\n\u202e", "\x07")]) == "?[2Jname??  ?"
    assert coloured("+\x1b[31m\n-b") == "+?[31m\n-b"
