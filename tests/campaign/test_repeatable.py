"""Every operator's mutants end alike, whatever happens to lie in memory, however busy the machine is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mutatenn
from mutatenn.compiler.cache import kernel_cache
from mutatenn.results.run import Run

DATA = Path(os.environ.get("MUTATENN_TEST_DATA", "absent"))
MOBILE_NET = DATA / "models" / "mobilenet_v2_1.0_224.onnx"
CAMPAIGN = """
name = "twins"
[model]
path = "mutatenn:digits.onnx"
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/*_00[01]*.png"
limit = 6
[[environments]]
name = "one"
[[environments]]
name = "twin"
[limits]
time_floor = 3.0
[thresholds]
min_valid = 0
[[mutations]]
operator = "all"
sites = {sites}
"""


@pytest.fixture
def another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what has kernels kept elsewhere, or nowhere (``off``)."""

    def use(place: str) -> None:
        monkeypatch.setenv("MUTATENN_KERNEL_CACHE", place)
        kernel_cache.cache_clear()

    yield use
    kernel_cache.cache_clear()


def ends(run: Run) -> dict[str, list[tuple[object, ...]]]:
    return {
        record.id: [
            (verdict.status, verdict.killed, verdict.infected, verdict.propagated, verdict.memory)
            for verdict in record.verdicts.values()
        ]
        for record in run.mutants
    }


def check(run: Run, expected: dict[str, list[tuple[object, ...]]] | None = None) -> None:
    """Check that twins ended alike, as in an earlier run, and that the machinery judged them all."""
    found = ends(run)
    assert {name: both for name, both in found.items() if len(both) != 2 or both[0] != both[1]} == {}
    assert {name: both for name, both in found.items() if both[0][0] == "infrastructure-error"} == {}
    if expected is not None:
        assert {name: both for name, both in found.items() if expected[name] != both} == {}


@pytest.mark.slow
def test_twins_end_alike(tmp_path: Path) -> None:
    (tmp_path / "twins.toml").write_text(CAMPAIGN.replace("{sites}", "{ sample = 120, stratified = true }"))
    run = mutatenn.run(tmp_path / "twins.toml", tmp_path / "run", workers=2)
    check(run)
    statuses = Counter(both[0][0] for both in ends(run).values())
    assert {"killed", "survived", "out-of-bounds"} <= statuses.keys()


def in_five_ways(campaign: Path, another_cache: Any) -> None:
    """Check runs with 2 workers and 8, kernels kept and not, beside other work and alone."""
    first = mutatenn.run(campaign, campaign.parent / "first", workers=2)
    check(first)
    expected = ends(first)
    for number, (workers, place, load) in enumerate([(8, "", 0), (2, "off", 0), (8, "off", 2), (2, "", 2)]):
        another_cache(place)
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
        try:
            check(mutatenn.run(campaign, campaign.parent / str(number), workers=workers), expected)
        finally:
            for process in busy:
                process.kill()
                process.wait()


@pytest.mark.soak
def test_all_operators_at_all_sites_end_alike(tmp_path: Path, another_cache: Any) -> None:
    (tmp_path / "twins.toml").write_text(CAMPAIGN.replace("{sites}", '"each"'))
    in_five_ways(tmp_path / "twins.toml", another_cache)


@pytest.mark.soak
@pytest.mark.skipif(not MOBILE_NET.exists(), reason="the test data is absent (MUTATENN_TEST_DATA)")
def test_three_hundred_mutants_of_a_larger_network_end_alike(tmp_path: Path, another_cache: Any) -> None:
    campaign = CAMPAIGN.replace("{sites}", "{ sample = 300, stratified = true }")
    campaign = campaign.replace("mutatenn:digits.onnx", str(MOBILE_NET)).replace("limit = 6", "limit = 2")
    campaign = campaign.replace("mutatenn:digits/*_00[01]*.png", str(DATA / "imagenet" / "*.jpg"))
    crop = "[preprocess]\nresize = 256\ncrop = 224\n"
    (tmp_path / "twins.toml").write_text(campaign.replace("[preprocess]\n", crop))
    in_five_ways(tmp_path / "twins.toml", another_cache)
