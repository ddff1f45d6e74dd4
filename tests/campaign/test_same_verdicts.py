"""However a campaign is run, its verdicts are the same, to the last bit of every output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mutatenn
from mutatenn.compiler.cache import kernel_cache
from mutatenn.results.run import Run

UNSCHEDULED = """
[[environments]]
name = "cpu"
backend = "llvm"
options = { schedules = false }
"""


def story(run: Run) -> list[tuple[object, ...]]:
    return [
        (v.mutant, v.status, v.by, v.killed_images, v.infected, v.propagated, v.labels_changed, v.oracles)
        for record in run.mutants
        for v in record.verdicts.values()
    ]


def check(run: Run, finished: Run) -> None:
    assert story(run) == story(finished)
    for mutant in (None, *(record.id for record in run.mutants)):
        assert run.outputs("cpu", mutant).tobytes() == finished.outputs("cpu", mutant).tobytes()


@pytest.mark.parametrize(
    "options",
    [pytest.param({"workers": 1}, marks=pytest.mark.slow), {"workers": 5}, {"reuse": False}],
    ids=str,
)
def test_workers_and_reuse(campaign: Path, finished: Run, tmp_path: Path, options: dict[str, Any]) -> None:
    check(mutatenn.run(campaign, tmp_path / "run", **options), finished)


@pytest.mark.slow
@pytest.mark.parametrize("bytes_kept", [1, 20_000])
def test_shards_and_what_is_kept(campaign: Path, finished: Run, tmp_path: Path, bytes_kept: int) -> None:
    """In one byte: every image a shard of its own, and nothing kept but it and the output."""
    with campaign.open("a") as file:
        file.write(f"[limits]\nshard_bytes = {bytes_kept}\n")
    run = mutatenn.run(campaign, tmp_path / "run")
    assert run._store.meta("shards") > 1
    check(run, finished)


@pytest.mark.slow
def test_schedules(campaign: Path, finished: Run, tmp_path: Path) -> None:
    with campaign.open("a") as file:
        file.write(UNSCHEDULED)
    check(mutatenn.run(campaign, tmp_path / "run"), finished)


@pytest.mark.slow
def test_an_empty_cache_a_full_one_and_none(
    campaign: Path, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, place in {"empty": tmp_path / "kernels", "full": tmp_path / "kernels", "none": "off"}.items():
        monkeypatch.setenv("MUTATENN_KERNEL_CACHE", str(place))
        kernel_cache.cache_clear()
        check(mutatenn.run(campaign, tmp_path / name), finished)
    kernel_cache.cache_clear()
