"""The tables reporter: files that other programs read as they were meant, whatever a name holds."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

import mutatenn
from mutatenn import Table
from mutatenn.testing.runs import made_run
from mutatenn_reporters._tables import as_csv, as_latex, as_markdown
from mutatenn_reporters.tables import Tables

HOSTILE = "a|b <img src=x onerror=alert(1)> \\input{/etc/passwd} $x_1^2$ 100% & #~ \x1b[31m =1+1"
TABLE = Table("t", HOSTILE, ("=cmd()", "value"), ((HOSTILE, 1.23456789), ("empty", None), ("x", "FAILED")))


def test_csv_has_every_digit_and_no_formula() -> None:
    head, first, empty, failed = csv.reader(io.StringIO(as_csv(TABLE)))
    assert head == ["'=cmd()", "value"]
    assert first[1] == "1.23456789"
    assert "\x1b" not in first[0]
    assert (empty, failed) == (["empty", ""], ["x", "FAILED"])


def test_markdown_has_as_many_cells_as_the_head() -> None:
    title, _, *rows = as_markdown(TABLE).splitlines()
    assert title.startswith("### a\\|b \\<img")
    assert all(row.replace("\\|", "").count("|") == 3 for row in rows)
    assert rows[-1] == "| x | FAILED |"


def test_markdown_has_the_first_rows_of_many() -> None:
    table = Table("many", "many", ("a", "b"), tuple((str(row), row) for row in range(100)))
    assert as_markdown(table).endswith("40 more rows are in many.csv.")


def test_latex_has_no_command_but_its_own() -> None:
    text = as_latex(TABLE)
    assert text.startswith("% a|b")
    assert text.splitlines()[1] == r"\begin{tabular}{lr}"
    row = text.splitlines()[5]
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\_1\textasciicircum{}2\$ 100\% \& \#" in row
    assert row.endswith(r"& 1.23 \\")


def test_what_is_written(tmp_path: Path) -> None:
    about = {name: {"factors": {"device": name}} for name in "ab"}
    run = made_run(tmp_path / "run", {"a": {}, "b": {}}, facts=about)
    text = Tables().report(run, tmp_path / "report")
    files = {path.name for path in (tmp_path / "report" / "tables").iterdir()}
    assert {"environments.csv", "environments.tex", "times-device.csv", "gain-device-a-b.tex"} <= files
    page = (tmp_path / "report" / "tables.md").read_text()
    assert "| b | b | 1 | 0 | 90 |" in page
    assert "- no boxes, intervals and analysis of variance: give the campaign a \\[time\\] section" in page
    assert "wrote " in text


def test_layers_of_two_environments(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", {"a": {}, "b": {}})
    with pytest.raises(mutatenn.InputError, match="layers names two environments"):
        Tables(layers=["a"]).report(run, tmp_path / "report")
