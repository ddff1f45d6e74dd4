"""Times: what is told of seconds made up by hand, and that a campaign measures what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn.analysis.environments.times import anova, cliff, gain, ratios, summary

CAMPAIGN = """
name = "x"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/[0-4]_00*.png"
[[environments]]
name = "basic"
profile = "basic"
[[environments]]
name = "default"
[time]
warmup = 1
repeats = {repeats}
images = 3
"""


def drawn(scale: float, seed: int, shape: tuple[int, int] = (30, 4)) -> Any:
    return scale * np.random.default_rng(seed).lognormal(sigma=0.1, size=shape)


def test_a_summary() -> None:
    seconds = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = summary("a", seconds)
    assert (found.repeats, found.images, found.median, found.mean) == (2, 2, 2.5, 2.5)
    assert found.p90 == pytest.approx(3.7)
    assert found.variation == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2.5)


def test_a_ratio_that_is_there_is_found() -> None:
    (found,) = ratios({"a": drawn(1.0, 0), "b": drawn(1.3, 1)})
    assert found.low < 1.3 < found.high
    assert found.high - found.low < 0.2
    assert found.decided
    assert found.p < 1e-4
    assert found.effect > 0.8


def test_one_that_is_not_there_is_not() -> None:
    pairs = ratios({"a": drawn(1.0, 0), "b": drawn(1.0, 1), "c": drawn(1.0, 2)})
    assert [(each.first, each.second) for each in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(each.low < 1 < each.high and not each.decided and each.p > 0.05 for each in pairs)
    (same,) = ratios({"a": drawn(1.0, 0), "b": drawn(1.0, 0)})
    assert (same.ratio, same.p, same.effect) == (1, 1, 0)


def test_runs_that_took_no_turns_are_not_paired() -> None:
    """What drifts on both sides alike tells of pairs, and of nothing else."""
    drift = np.linspace(1, 3, 30)[:, None]
    times = {"a": drift * drawn(1, 0), "b": 1.05 * drift * drawn(1, 0)}
    (paired,), (apart,) = ratios(times), ratios(times, lambda *_: False)
    assert paired.p < 1e-4
    assert apart.p > 0.05


def test_cliffs_delta() -> None:
    assert cliff(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1
    assert cliff(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == -1
    assert cliff(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
    one, other = drawn(1, 3).ravel(), drawn(1.05, 4).ravel()
    pairs = np.sign(one[:, None] - other[None, :])
    assert cliff(one, other) == pytest.approx(pairs.mean())


@pytest.mark.parametrize(
    ("before", "after", "told"), [(467.42, 456.25, 2.39), (1.0, 1.0271, -2.71), (1.0, 1.814, -81.4)]
)
def test_a_gain_is_what_the_paper_prints(before: float, after: float, told: float) -> None:
    assert gain(before, after) == pytest.approx(told, abs=0.005)


def test_anova() -> None:
    assert anova([drawn(1, 0, (5, 40)), drawn(1.3, 1, (5, 40))]) < 1e-6
    assert anova([drawn(1, 0, (5, 40)), drawn(1, 1, (5, 40)), drawn(1, 2, (5, 40))]) > 0.01


def test_a_campaign_is_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mutatenn.cli.main import main

    path = tmp_path / "x.toml"
    path.write_text(CAMPAIGN.format(repeats=4))
    run = mutatenn.run(path, tmp_path / "run", workers=1)
    for name in run.environments:
        seconds = run.times(name)
        assert seconds is not None
        assert (seconds.shape, seconds.dtype) == ((4, 3), np.float32)
        assert (seconds > 0).all()
        about = run.about_times(name)
        assert (about["warmup"], about["repeats"], about["images"], about["together"]) == (1, 4, 3, 2)
    files = [run.directory / "outputs" / name / "times.npy" for name in run.environments]
    before = [file.stat().st_mtime_ns for file in files]
    again = mutatenn.run(path, tmp_path / "run", workers=1)
    assert [file.stat().st_mtime_ns for file in files] == before, "what was measured in the same way is kept"
    assert main(["compare", str(run.directory)]) == 0
    assert "times of an image, 4 x 3 images, in turns" in capsys.readouterr().out
    assert main(["compare", str(run.directory), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["environment"] for each in found["times"]] == ["basic", "default"]
    assert [(each["first"], each["second"]) for each in found["time_ratios"]] == [("basic", "default")]
    path.write_text(CAMPAIGN.format(repeats=5))
    mutatenn.run(path, tmp_path / "run", workers=1)
    anew = mutatenn.open_run(again.directory).times("basic")
    assert anew is not None
    assert len(anew) == 5
