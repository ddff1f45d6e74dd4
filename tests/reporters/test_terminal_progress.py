"""What the terminal reporter says while a campaign runs."""

from __future__ import annotations

import io
import os
import re
import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from mutatenn.api.verdict import Verdict
from mutatenn.results.run import Run
from mutatenn_reporters._terminal.progress import Lines, open_progress
from mutatenn_reporters.terminal import Terminal

Make = Callable[..., Run]

KILLED = {"status": "killed"}
GREEN = (
    "cpu: original ok: top-1 equals the reference's on 10 of 10 images, largest difference 3.0e-07, "
    "accuracy 90.0 % (9 of 10), noise 0, 1 ms per image"
)


@attrs.define
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@attrs.define
class Followed:
    """Plain lines on a run of some mutants, none of them run yet, and a clock to turn."""

    run: Run
    stream: io.StringIO
    clock: Clock
    lines: Lines

    def trial(self, index: int, status: Any = "killed", after: float = 1.0) -> list[str]:
        """Let time pass, end a mutant, and return the lines that were written about it."""
        self.clock.now += after
        before = len(self.said())
        self.lines.advance(Verdict("cpu", f"lt-to-le.x.{index}.0", status))
        return self.said()[before:]

    def said(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def follow(make: Make) -> Callable[[int], Followed]:
    def follow(mutants: int) -> Followed:
        run = make({"cpu": {f"lt-to-le.x.{index}.0": None for index in range(mutants)}})
        stream, clock = io.StringIO(), Clock()
        lines = Lines(stream, clock)
        lines.start(run)
        return Followed(run, stream, clock, lines)

    return follow


def test_a_real_campaign(finished: Any) -> None:
    lines = finished.said.splitlines()
    stages = [line.removesuffix(" ...") for line in lines if line.endswith(" ...")]
    assert stages[:2] == ["importing digits.onnx", f"preparing {len(finished.run.image_names)} images"]
    assert stages[2:5] == [
        "lowering the model for cpu",
        "lowering the model for cpu-basic",
        "planning mutants",
    ]
    assert re.fullmatch(r"compiling \d+ kernels for cpu, running the original on \d+ images", stages[5])
    told = [line for line in lines if not line.endswith(" ...")]
    assert told[0].startswith("small: ")
    assert told[0].endswith(" images in 2 environments")
    assert [line.split(": ")[:2] for line in told[1:3]] == [
        ["cpu", "original ok"],
        ["cpu-basic", "original ok"],
    ]
    counts = finished.run.score("cpu").counts
    (last,) = (line for line in lines if line.startswith("cpu: 6 of 6 mutants: "))
    assert f"{counts['killed']} killed" in last or not counts["killed"]
    assert f"{counts['survived']} survived" in last or not counts["survived"]
    assert "left" not in last
    assert lines[-1].startswith("cpu-basic: 6 of 6 mutants: ")
    assert "\x1b" not in finished.said


def test_what_there_is_to_do_and_how_the_original_did(follow: Callable[[int], Followed]) -> None:
    assert follow(50).said() == ["by-hand: 50 mutants on 10 images in 1 environment", GREEN]


def test_a_line_after_a_twentieth_then_per_tenth(follow: Callable[[int], Followed]) -> None:
    followed = follow(50)
    assert [followed.trial(index) for index in range(2)] == [[], []]
    assert followed.trial(2, "survived") == ["cpu: 3 of 50 mutants: 2 killed, 1 survived; about 47 s left"]
    for index in range(3, 49):
        followed.trial(index, "never-infected")
    assert followed.trial(49) == ["cpu: 50 of 50 mutants: 3 killed, 1 survived, 46 never infected"]
    assert [int(line.split()[1]) for line in followed.said()[2:]] == [3, *range(8, 50, 5), 50]


@pytest.mark.parametrize(("more", "place"), [({}, ""), ({"gpu": {"lt-to-le.x.0.0": None}}, "cpu: ")])
def test_a_line_per_mutant_where_wanted(
    make: Make, capsys: pytest.CaptureFixture[str], more: Any, place: str
) -> None:
    run = make({"cpu": {"lt-to-le.x.0.0": None, "lt-to-le.x.1.0": None}, **more})
    reporter = Terminal(progress="mutants")
    reporter.mutatenn_campaign_start(run)
    capsys.readouterr()
    reporter.mutatenn_trial_finished(Verdict("cpu", "lt-to-le.x.0.0", "killed", by=("top-1",), seconds=0.25))
    assert capsys.readouterr().out.splitlines()[0] == f"{place}lt-to-le.x.0.0: killed, by top-1 (250 ms)"


def test_nothing_is_shown_where_nothing_is_wanted(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make({"cpu": {"lt-to-le.x.0.0": None}})
    reporter = Terminal(progress="none")
    reporter.mutatenn_stage_started("importing")
    reporter.mutatenn_campaign_start(run)
    reporter.mutatenn_baseline_finished(run.baselines["cpu"])
    reporter.mutatenn_trial_finished(Verdict("cpu", "lt-to-le.x.0.0", "killed"))
    reporter.mutatenn_campaign_finish()
    assert capsys.readouterr().out == ""


def test_a_line_per_half_minute(follow: Callable[[int], Followed]) -> None:
    followed = follow(1000)
    assert followed.trial(0, after=29) == []
    assert followed.trial(1, after=1) == ["cpu: 2 of 1000 mutants: 2 killed; about 4.2 h left"]
    assert followed.trial(2, after=29) == []
    assert followed.trial(3, after=13) == ["cpu: 4 of 1000 mutants: 4 killed; about 5.0 h left"]


def test_an_interrupted_campaign_says_how_far_it_came(follow: Callable[[int], Followed]) -> None:
    followed = follow(50)
    followed.trial(0)
    followed.lines.stop()
    assert followed.said()[-1] == "cpu: 1 of 50 mutants: 1 killed"
    followed.lines.stop()
    assert len(followed.said()) == 3


def test_a_mutant_that_gets_its_verdict_anew_counts_once(follow: Callable[[int], Followed]) -> None:
    followed = follow(4)
    followed.trial(0, "infrastructure-error")
    assert followed.trial(1, "killed") == [
        "cpu: 2 of 4 mutants: 1 killed, 1 infrastructure error; about 2 s left"
    ]
    followed.trial(0, "killed")
    assert followed.trial(2, "killed")[0].startswith("cpu: 3 of 4 mutants: 3 killed; ")


def test_a_continued_campaign(make: Make) -> None:
    failed = {"status": "infrastructure-error"}
    run = make({"cpu": {"lt-to-le.x.0.0": KILLED, "lt-to-le.x.1.0": failed, "lt-to-le.x.2.0": None}})
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.start(run)
    assert stream.getvalue().splitlines()[0] == (
        "by-hand: 3 mutants on 10 images in 1 environment, 1 of them done before"
    )
    clock.now = 60
    lines.advance(Verdict("cpu", "lt-to-le.x.1.0", "killed"))
    assert stream.getvalue().splitlines()[-1] == "cpu: 2 of 3 mutants: 2 killed; about 1 min left"


def test_a_red_gate_is_told(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make({"cpu": {"lt-to-le.x.0.0": None}}, problems=("two runs differ by 1",))
    reporter = Terminal()
    reporter.mutatenn_campaign_start(run)
    assert "gate" not in capsys.readouterr().out  # of the earlier attempt; this one measures anew
    reporter.mutatenn_baseline_finished(run.baselines["cpu"])
    reporter.mutatenn_campaign_finish()
    assert capsys.readouterr().out == "cpu: original fails the gate: two runs differ by 1\n"


def test_a_campaign_that_ended_before_it_began_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().mutatenn_campaign_finish()
    assert capsys.readouterr().out == ""


def read_all(master: int) -> str:
    """Read what a terminal has got so far, which may come in several pieces."""
    text = b""
    while select.select([master], [], [], 0.2)[0]:
        text += os.read(master, 1 << 16)
    return text.decode()


@pytest.fixture
def shown(make: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Follow a campaign on a terminal; return a function that reads what it showed."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    run = make({"cpu": {f"lt-to-le.x.{index}.0": None for index in range(3)}}, name=":smile:[red]\x1b[2J")
    master, slave = os.openpty()
    os.set_blocking(master, False)
    with os.fdopen(slave, "w") as terminal:
        threads = threading.active_count()
        progress = open_progress(terminal)
        progress.start(run)
        for index in range(3):
            progress.advance(Verdict("cpu", f"lt-to-le.x.{index}.0", "killed"))
        assert threading.active_count() == threads  # the engine forks
        progress.stop()
        terminal.flush()
        yield lambda: read_all(master)
    os.close(master)


def test_bars_on_a_terminal(shown: Callable[[], str]) -> None:
    text = shown()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert ":smile:[red]?[2J: 3 mutants on 10 images in 1 environment" in plain
    assert "\x1b[2J" not in text
    assert re.search(r"cpu ━+ 0/3 ", plain)
    assert re.search(r"cpu ━+ 3/3 \S+ 3 detected, 0 missed", plain)
    assert text.endswith("\x1b[2K")  # the last bar is wiped away
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # and the cursor is there


def test_a_terminal_that_can_do_nothing_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        assert isinstance(open_progress(terminal), Lines)
    os.close(master)
