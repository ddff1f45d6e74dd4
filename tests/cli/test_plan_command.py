"""``mutatenn plan``: sites and mutants, nothing run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mutatenn
from mutatenn.cli._text import columns, some
from mutatenn.host.plugin_host import PluginHost

Command = Callable[..., Any]
Write = Callable[..., Path]


def test_the_table_counts_sites_and_mutants(finished: Any, command: Command) -> None:
    done = command("plan", finished.campaign)
    assert (done.code, done.err) == (0, "")
    title, _, head, *rows = done.out.splitlines()
    assert title.startswith("environment cpu (llvm, profile default, ")
    assert head.split() == ["operator", "category", "level", "sites", "mutants"]
    assert rows[0].split() == ["transpose-conv2d-data", "NIO", "graph", "7", "1"]
    assert [row.split()[0] for row in rows] == [
        "transpose-conv2d-data",
        "exp-conv2d-before",
        "store-int16",
        "store-minus-epsilon",
        "total",
    ]
    assert rows[-1].split()[-1] == "4"


def test_operators_without_sites_count_zero(write: Write, command: Command) -> None:
    done = command("plan", write(mutations='[[mutations]]\noperator = "CSO"\n'))
    counts = {row.split()[0]: row.split()[-2:] for row in done.out.splitlines() if " CSO " in row}
    assert counts["gt-to-ge"] == ["0", "0"]
    assert counts["lt-to-le"][0] == counts["lt-to-le"][1] != "0"


def test_no_site_has_a_reason(write: Write, command: Command) -> None:
    campaign = write(mutations='[[mutations]]\noperator = "paper"\n')
    lines = command("plan", campaign).out.split("\n\nno site:\n")[1].splitlines()
    assert lines == [
        "  gt-to-ge, gt-to-lt: no > in the kernels (TVM turns a > b into b < a)",
        "  transpose-dense-data, transpose-dense-weight: no two axes of equal size to swap in 1 matmul",
    ]
    (environment,) = json.loads(command("plan", campaign, "--json").out)["environments"]
    for entry in environment["operators"]:
        assert bool(entry["absence"]) == (entry["sites"] == 0)
    assert "no site" not in command("plan", write()).out


def test_no_kernel_operator_has_a_site_where_the_model_runs_as_a_whole() -> None:
    for operator in PluginHost.installed().mutators().values():
        if operator.level == "kernel":
            assert operator().absence([]) == "no kernels: the model runs as a whole"


def test_a_line_per_mutant(finished: Any, command: Command) -> None:
    done = command("plan", finished.campaign, "--list")
    _, _, head, *rows = done.out.splitlines()
    assert head.split() == ["mutant", "unit", "ordinal", "layers", "code"]
    planned = [record.id for record in mutatenn.open_run(finished.directory).mutants]
    assert [row.split()[0] for row in rows] == planned
    assert rows[0].split()[1:3] == ["main", "1"]
    assert rows[0].split()[3] == "block2/conv_depthwise"
    assert "R.nn.conv2d(" in rows[0]
    assert rows[1].split()[1:6] == ["7", "sites", "-", "block1/conv,", "block2/conv_depthwise,"]
    assert rows[1].endswith(", 3 more")


@pytest.mark.parametrize(
    ("operators", "least"), [("AT", 5_000), pytest.param("all", 10_000, marks=pytest.mark.slow)]
)
def test_the_lines_are_aligned_columns(write: Write, command: Command, operators: str, least: int) -> None:
    mutations = (
        f'[[mutations]]\noperator = "{operators}"\n[[mutations]]\noperator = "graph"\nsites = "together"\n'
    )
    environments = '[[environments]]\nname = "one"\n[[environments]]\nname = "two"\nprofile = "basic"\n'
    campaign = write(mutations=mutations, tail=environments)
    plans = json.loads(command("plan", campaign, "--json").out)["environments"]
    assert [each["name"] for each in plans] == ["one", "two"]
    tables = [
        columns([("mutant", "unit", "ordinal", "layers", "code"), *_rows(each)], right=[2]) for each in plans
    ]
    titles, texts = zip(
        *(part.split("\n\n", 1) for part in _parts(command("plan", campaign, "--list").out)), strict=True
    )
    assert list(texts) == [f"{table}\n" for table in tables]
    assert [title.split()[:2] for title in titles] == [["environment", "one"], ["environment", "two"]]
    assert min(map(len, tables)) > least


def _rows(plan: Any) -> list[tuple[object, ...]]:
    return [
        (each["id"], site["unit"], site["ordinal"], some(site["layers"]), site["detail"])
        if not more
        else (each["id"], f"{len(each['sites'])} sites", "-", some(_layers(each)), "")
        for each in plan["mutants"]
        for site, *more in (each["sites"],)
    ]


def _layers(mutant: Any) -> list[str]:
    return list(dict.fromkeys(name for site in mutant["sites"] for name in site["layers"]))


def _parts(text: str) -> tuple[str, str]:
    """Return the texts of two environments, which an empty line separates."""
    first, second = text.split("\n\nenvironment ")
    return f"{first}\n", f"environment {second}"


def test_the_object(finished: Any, command: Command) -> None:
    plan = json.loads(command("plan", finished.campaign, "--json").out)
    assert (plan["campaign"], plan["model"], plan["images"]) == ("small", "digits", 25)
    (environment,) = plan["environments"]
    assert (environment["name"], environment["backend"], environment["fallback"]) == ("cpu", "llvm", "")
    assert [entry["mutants"] for entry in environment["operators"]] == [1, 1, 1, 1]
    mutants = environment["mutants"]
    assert [mutant["id"] for mutant in mutants] == [
        record.id for record in mutatenn.open_run(finished.directory).mutants
    ]
    assert len(mutants[1]["sites"]) == 7
    assert set(mutants[0]["sites"][0]) == {"unit", "ordinal", "detail", "layers"}


def test_one_environment_of_two(write: Write, command: Command) -> None:
    environments = '[[environments]]\nname = "one"\n[[environments]]\nname = "two"\nprofile = "basic"\n'
    campaign = write(tail=environments)
    both = command("plan", campaign).out
    assert "environment one (" in both
    assert "environment two (llvm, profile basic" in both
    two = command("plan", campaign, "--environment", "two").out
    assert "environment one" not in two
    assert both.endswith(two)


def test_nothing_is_run(
    write: Write, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = write()
    monkeypatch.chdir(tmp_path)
    assert command("plan", campaign).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["campaign.toml"]


def test_mutants_by_layer(write: Any, command: Command) -> None:
    """Two operators meet in the second convolution; all convolutions together are no one layer."""
    mutations = """
[[mutations]]
operator = "transpose-conv2d-data"
sites = [1, 2]
[[mutations]]
operator = "exp-conv2d-before"
sites = [1]
[[mutations]]
operator = "exp-conv2d-before"
sites = "together"
[[mutations]]
operator = "store-int16"
sites = [37]
"""
    done = command("plan", write(mutations=mutations), "--layers")
    rows = [line.split() for line in done.out.splitlines()[2:]]
    assert rows[0] == ["layers", "unit", "operator", "AT", "NIO", "mutants"]
    layers = [("block2/conv_depthwise", "2"), ("block2/conv_pointwise", "1"), ("several", "1")]
    layers.append(("head/softmax", "1"))
    assert [(row[0], row[-1]) for row in rows[1:]] == layers
    assert "R.nn.conv2d" in rows[1]


def test_a_plan_can_be_filtered(write: Any, command: Command) -> None:
    done = command("plan", write(), "--only", "store-*", "--list")
    names = [line.split(".")[0] for line in done.out.splitlines()[3:]]
    assert names == ["store-int16", "store-minus-epsilon"]
    counted = command("plan", write(), "--only", "transpose").out.splitlines()
    assert [line.split()[-1] for line in counted[3:]] == ["1", "0", "0", "0", "1"]
    wrong = command("plan", write(), "--only", "transpoze-conv2d")
    assert (wrong.code, wrong.out) == (2, "")
    assert "no planned mutant is called 'transpoze-conv2d'" in wrong.err


def test_what_running_takes_is_told_by_a_few_mutants(write: Write, command: Command) -> None:
    campaign = write()
    shown = command("plan", campaign, "--estimate").out.splitlines()[-1]
    assert re.fullmatch(
        r"`mutatenn run` takes about [\d.]+ (s|min|ms), [\d.]+ [MG]iB of memory and \d+ MiB of disk, "
        r"by [1-4] mutants on 2 images",
        shown,
    )
    (environment,) = json.loads(command("plan", campaign, "--estimate", "--json").out)["environments"]
    told = environment["estimate"]
    assert told.keys() == {"seconds", "memory", "disk", "tried", "images"}
    assert 0.01 < told["seconds"] < 600
    assert 2**26 < told["memory"] < 2**33


def test_an_original_that_cannot_run_has_no_estimate(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise mutatenn.BuildError("no such target")

    monkeypatch.setattr("mutatenn.campaign.gate.gate.measure", broken)
    done = command("plan", write(), "--estimate")
    assert done.code == 0
    assert done.out.endswith("\nno estimate: the original cannot be built and run: no such target\n")
