"""The terminal reporter's text: what a user reads at the end."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn.results.run import Run
from mutatenn.results.store import Store
from mutatenn_reporters.terminal import Terminal

Make = Callable[..., Run]

KILLED = {"status": "killed", "by": ("top-1",), "images": 10, "killed": 3, "infected": 10, "propagated": 10}
SURVIVED = {"status": "survived", "images": 10, "infected": 10, "propagated": 10}
NEVER = {"status": "never-infected", "images": 10}

INVALID = ("out-of-bounds", "unstable", "equivalent", "build-error", "infrastructure-error")
PAGE = """\
warning: lt-to-le: 1 of 1 mutant has no verdict: 1 build error
campaign by-hand
  model      digits: image float32[1x1x8x8] -> probabilities float32[1x10]
  images     10
  killed by  top-1; measured too: max-abs

environment cpu: llvm znver4, profile default, 12 kernels
  original ok: top-1 equals the reference's on 10 of 10 images, largest
  difference 3.0e-07, accuracy 90.0 % (9 of 10), noise 0, 1 ms per image

                                                never         build
operator       sites mutants killed survived infected crashed error score
LN layer node
 relu-to-sigmoid  10       1      1        .        .       .     .  1.00
AT arithmetic type
 store-int8       10       3      .        1        1       1     .  0.33
CSO conditional statement operation
 lt-to-le         10       1      .        .        .       .     1     -
all               30       5      1        1        1       1     1  0.50

0 timed out, 0 equivalent
no site in this model: gt-to-ge
survivors:
  store-int8.conv.0.cd
    infected 10 of 10 images, changed the output on 9 by up to 0.25, took 100%
    of a top-1 margin
crashed:
  store-int8.conv.2.ab
    SIGSEGV
rejected by the compiler (build error):
  lt-to-le.conv.0.ef
    ValueError: no loop
score 0.50 = 2 detected / 4 valid; of the 3 that infected a value: 0.67
  detected: killed, crashed, timed out; valid: those, survived, never infected

Of 4 faults in the compiled code, these 10 images noticed 2. They miss:
store-int8 (2 of 3).

score 0.50 killed 1 survived 1 never-infected 1 crashed 1 timed-out 0 equivalent 0 build-error 1"""


def text(run: Run) -> str:
    return Terminal().report(run, run.directory / "report")


def test_a_page(make: Make) -> None:
    closest = {**SURVIVED, "propagated": 9, "oracles": {"max-abs": {"mean": 0.1, "worst": 0.25}}}
    run = make(
        {
            "cpu": {
                "lt-to-le.conv.0.ef": {"status": "build-error", "message": "ValueError: no\nloop"},
                "store-int8.conv.0.cd": closest,
                "store-int8.conv.1.ce": NEVER,
                "store-int8.conv.2.ab": {"status": "crashed", "signal": 11},
                "relu-to-sigmoid.main.0.gh": KILLED,
            }
        }
    )
    assert text(run) == PAGE


def test_slow_mutants_are_listed_slowest_first(make: Make) -> None:
    """The original takes 1 ms an image here; under 2 s nothing is slow."""
    took = {"conv.0.aa": 1.9, "conv.1.ab": 2.5, "conv.2.ac": 31.25}
    run = make({"cpu": {f"store-int8.{key}": {**KILLED, "seconds": s} for key, s in took.items()}})
    shown = text(run)
    start = shown.index("slow, by processor time: maybe no schedule rule fits these:")
    listed = shown[start:].split("score")[0].split()
    assert [word for word in listed if word.startswith("store-int8")] == [
        "store-int8.conv.2.ac",
        "store-int8.conv.1.ab",
    ]
    assert "    31 s, the original's 10 ms" in shown


def test_a_real_run(finished: Any) -> None:
    run = finished.run
    lines = text(run).splitlines()
    assert lines[-3:] == [
        "",
        f"environment cpu {run.score('cpu').line()}",
        f"environment cpu-basic {run.score('cpu-basic').line()}",
    ]
    rows = [line.split() for line in lines if line.startswith(" relu-to-sigmoid")]
    assert [row[1:3] for row in rows] == [["7", "2"], ["7", "2"]]
    assert [line for line in lines if line.startswith("all")] != []
    assert lines.count("no site in this model: gt-to-ge") == 2
    assert max(map(len, lines[:-3])) <= 80
    assert re.search(r"^  cpu +cpu-basic +0 of \d+ +\S+ +\d", "\n".join(lines), re.MULTILINE)
    assert run.score().valid + sum(run.score().counts[each] for each in ("equivalent", "unstable")) == 12


def test_every_environment_has_its_own_score_and_they_are_not_summed(make: Make) -> None:
    run = make(
        {"a": {"lt-to-le.x.0.1": KILLED}, "b": {"lt-to-le.x.0.1": SURVIVED, "lt-to-le.x.1.2": SURVIVED}}
    )
    *_, gap, first, second = text(run).splitlines()
    assert first.startswith("environment a score 1.00 killed 1 survived 0 ")
    assert second.startswith("environment b score 0.00 killed 0 survived 2 ")
    assert gap == ""


def test_environments_are_compared(make: Make) -> None:
    failed = {"status": "infrastructure-error"}
    run = make(
        {
            "a": {"lt-to-le.x.0.1": KILLED, "lt-to-le.x.1.2": SURVIVED, "lt-to-le.x.2.3": KILLED},
            "b": {"lt-to-le.x.0.1": NEVER, "lt-to-le.x.1.2": SURVIVED, "lt-to-le.x.2.3": failed},
        }
    )
    between = text(run).split("between environments\n")[1]
    assert between.startswith(
        "  originals     labels differ  largest difference  time ratio\n"
        "  a          b        0 of 10                0.25        1.00\n\n"
        "  detected / valid    a    b  diverging\n"
        "  lt-to-le          2/3  0/2          1\n"
        "  all               2/3  0/2          1\n\n"
        "1 mutant did not end alike in all environments:\n"
        "  lt-to-le.x.0.1\n"
        "    killed in a (3 of 10 images), never infected in b\n"
        "  `mutatenn compare --discrepancies` compares the outputs, too\n\n"
        "environment a "
    )


def test_five_of_those_that_did_not_end_alike_most_notable_first(make: Make) -> None:
    names = [f"lt-to-le.x.{index}.0" for index in range(7)]
    killed = {name: {**KILLED, "killed": index + 1} for index, name in enumerate(names)}
    run = make({"b": killed, "a": dict.fromkeys(names, SURVIVED)})
    between = text(run).split("between environments\n")[1]
    assert "\n7 mutants did not end alike in all environments, most notable first:\n" in between
    assert re.findall(r"^  lt-to-le\.x\.(\d)", between, re.MULTILINE) == ["6", "5", "4", "3", "2"]
    assert "    killed in b (7 of 10 images), survived in a\n" in between
    assert "  and 2 more\n" in between


def test_operators_with_the_same_counts_have_no_row(make: Make) -> None:
    both = {"lt-to-le.x.0.1": KILLED, "store-int8.x.0.1": SURVIVED, "relu-to-sigmoid.x.0.1": KILLED}
    run = make({"a": both, "b": {**both, "store-int8.x.0.1": KILLED}})
    between = text(run).split("between environments\n")[1].split("\n\n")
    assert [line.split() for line in between[1].splitlines()] == [
        ["detected", "/", "valid", "a", "b", "diverging"],
        ["store-int8", "0/1", "1/1", "1"],
        ["all", "2/3", "3/3", "1"],
        ["2", "operators", "with", "the", "same", "counts", "everywhere"],
    ]


def test_what_was_not_judged_is_no_disagreement(make: Make) -> None:
    lost = {"status": "infrastructure-error", "message": "it was killed"}
    run = make(
        {
            "a": {"lt-to-le.x.0.1": lost, "lt-to-le.x.1.1": None},
            "b": dict.fromkeys(["lt-to-le.x.0.1"], KILLED),
        }
    )
    between = text(run).split("between environments\n")[1]
    assert "did not end alike" not in between
    assert "\n  all               0/0  1/1          0\n" in between


def test_environments_without_mutants_show_their_originals(make: Make) -> None:
    run = make({"native": {"lt-to-le.x.0.1": KILLED}, "reference": {}, "broken": {}}, noise=0.0)
    store = Store.open(run.directory, write=True)
    baseline = attrs.evolve(run.baselines["broken"], seconds=0.004)
    store.set_baseline(baseline, np.full((10, 10), np.nan, np.float32))
    store.close()
    between = text(Run.open(run.directory)).split("between environments\n")[1]
    assert between.startswith(
        "  originals             labels differ  largest difference  time ratio\n"
        "  native     reference        0 of 10                0.25        1.00\n"
        "  native     broken          10 of 10          not finite        4.00\n"
        "  reference  broken          10 of 10          not finite        4.00\n\n"
        "environment native "
    )


def test_the_five_survivors_that_came_closest(make: Make) -> None:
    worst = [0.1, 0.3, 0.0, 0.2, 0.5, 0.4, 0.6]
    survivors = {
        f"lt-to-le.x.{index}.0": {**SURVIVED, "oracles": {"max-abs": {"mean": 0.0, "worst": value}}}
        for index, value in enumerate(worst)
    }
    survivors["lt-to-le.x.7.0"] = {**SURVIVED, "labels_changed": 1}  # by another oracle than top-1
    listed = text(make({"cpu": survivors})).split("survivors closest to being killed:\n")[1]
    assert re.findall(r"^  lt-to-le\.x\.(\d)", listed, re.MULTILINE) == ["7", "6", "4", "5", "1"]


def test_without_max_abs_the_share_of_changed_images_tells_who_came_closest(make: Make) -> None:
    run = make(
        {
            "cpu": {
                "lt-to-le.x.0.0": {**SURVIVED, "infected": 9, "propagated": 0},
                "lt-to-le.x.1.0": {**SURVIVED, "infected": 2, "propagated": 2},
                "lt-to-le.x.2.0": {**SURVIVED, "infected": 1, "propagated": 0},
            }
        }
    )
    page = text(run)
    assert re.findall(r"^  lt-to-le\.x\.(\d)", page, re.MULTILINE) == ["1", "0", "2"]
    assert "infected 9 of 10 images, changed no output\n" in page


def test_infrastructure_errors_get_a_column_and_the_cure(make: Make) -> None:
    failed = {"status": "infrastructure-error", "message": "its process was killed by signal 9"}
    page = text(make({"cpu": {"lt-to-le.x.0.0": failed, "lt-to-le.x.1.1": KILLED}}))
    assert "infra." in page
    assert (
        "not judged because the machinery failed (infrastructure error); run again:\n  lt-to-le.x.0.0" in page
    )
    assert page.endswith(" build-error 0 infrastructure-error 1")
    assert "score 1.00, 0.50 to 1.00 with 95% confidence: 1 detected of 1 valid" in page


def test_a_long_list_is_cut(make: Make) -> None:
    ended = {f"lt-to-le.x.{index}.0": {"status": "timed-out", "message": "slow"} for index in range(8)}
    page = text(make({"cpu": ended}))
    assert page.count("    slow\n") == 5
    assert "  and 3 more\n" in page


def test_an_unfinished_run_says_so(make: Make) -> None:
    page = text(make({"cpu": {"lt-to-le.x.0.0": KILLED, "lt-to-le.x.1.0": None, "store-int8.x.0.0": None}}))
    assert "\n2 of 3 mutants not run yet; `mutatenn run` continues\n" in page
    (row,) = (line.split() for line in page.splitlines() if line.startswith(" lt-to-le"))
    assert row == ["lt-to-le", "10", "2", "1", ".", "1", "1.00"]
    assert page.splitlines()[-1].startswith("score 1.00 killed 1 ")


def test_a_run_before_its_first_verdict(make: Make) -> None:
    page = text(make({"cpu": {"lt-to-le.x.0.0": None}}))
    assert "\n1 of 1 mutant not run yet; `mutatenn run` continues\n" in page
    assert "operator " not in page
    assert page.splitlines()[-1].startswith("score - killed 0 ")


def test_a_red_gate(make: Make) -> None:
    page = text(make({"cpu": {"lt-to-le.x.0.0": None}}, problems=("two runs differ by 1", "it is wrong")))
    assert "  original fails the gate: two runs differ by 1; it is wrong\n" in page
    assert "1 of 1 mutant not run yet; the original must pass the gate first" in page
    assert "original ok" not in page


def test_without_ground_truth_there_is_no_accuracy(make: Make) -> None:
    assert "accuracy" not in text(make({"cpu": {"lt-to-le.x.0.0": KILLED}}, accuracy=None))


def test_nothing_infected(make: Make) -> None:
    assert "score 0.00 = 0 detected / 1 valid\n" in text(make({"cpu": {"lt-to-le.x.0.0": NEVER}}))


def test_nothing_valid(make: Make) -> None:
    page = text(make({"cpu": {"lt-to-le.x.0.0": {"status": "equivalent"}}}))
    assert "no score: no mutant ran that is not equivalent\n" in page
    (row,) = (line.split() for line in page.splitlines() if line.startswith("all "))
    assert row[-1] == "-"


def test_names_cannot_steer_the_terminal(make: Make) -> None:
    evil = "[red]x[/red] :smile: \x1b]0;owned\x07\u202e\x9b31m\r\nscore 7.77"
    run = make({"cpu": {"lt-to-le.x.0.0": {"status": "crashed", "message": evil}}}, name=evil)
    page = text(run)
    assert [char for char in page if not char.isprintable() and char != "\n"] == []
    assert page.count("[red]x[/red] :smile: ?]0;owned??") == 2
    assert sum(line.startswith("score 7.77") for line in page.splitlines()) == 0
    assert len(page.splitlines()) == page.count("\n") + 1


def test_a_terminal_gets_colours_but_for_the_lines_for_programs(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    run = make({"cpu": {"lt-to-le.x.0.0": KILLED}})
    plain = text(run)
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        coloured = text(run)
    os.close(master)
    assert "\x1b[1m" in coloured
    assert "\x1b" not in plain
    assert coloured.splitlines()[-1] == plain.splitlines()[-1]


def test_the_answer_for_one_image(make: Make) -> None:
    crashed = {"status": "crashed", "signal": 11}
    shown = text(make({"cpu": {"store-int8.conv.0.cd": crashed}}, images=1))
    assert "\nOf 1 fault in the compiled code, this image noticed 1.\n" in shown


def test_a_table_of_many_statuses_fits_80_columns(make: Make) -> None:
    ended = ("killed", "survived", "never-infected", "crashed", "timed-out", *INVALID)
    page = text(make({"cpu": {f"store-int8.x.{i}.0": {"status": each} for i, each in enumerate(ended)}}))
    (row,) = (line.split() for line in page.splitlines() if line.startswith(" store-int8"))
    assert row == ["store-int8", "10", "10", *["1"] * 5, "5", "0.60"]
    told = "invalid: 1 out of bounds, 1 unstable, 1 equivalent, 1 build error, 1 infrastructure error"
    assert told in " ".join(page.split())
    head, _, _ = page.partition("\ninvalid: ")
    assert max(map(len, head.splitlines())) <= 80
