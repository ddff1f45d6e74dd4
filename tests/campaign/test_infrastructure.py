"""What the machine does to a campaign is no mutant's doing, and is tried again when it is mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mutatenn
from mutatenn.results.run import Run
from mutatenn.results.store import Store

ONLY = ["transpose-conv2d-data", "store-int8"]


def verdicts(run: Run, names: set[str]) -> list[tuple[object, ...]]:
    found = {record.id: record.verdicts["cpu"] for record in run.mutants if record.id in names}
    return sorted((name, v.status, v.by, v.killed_images, v.infected) for name, v in found.items())


def test_changes_that_cannot_be_recorded_spoil_no_verdict(
    finished: Run, campaign: Path, tmp_path: Path
) -> None:
    """As on a full disk: a file stands where the folder of the changes would be."""
    out = tmp_path / "run"
    with pytest.raises(mutatenn.InputError):
        mutatenn.run(campaign, out, only=["none such"])
    (out / "mutants").touch()
    run = mutatenn.run(campaign, out, only=ONLY)
    failed = {record.id: record.verdicts["cpu"] for record in run.mutants if record.verdicts}
    assert len(failed) == 6
    assert {verdict.status for verdict in failed.values()} == {"infrastructure-error"}
    assert all("NotADirectoryError" in verdict.message for verdict in failed.values())
    (out / "mutants").unlink()
    run = mutatenn.run(campaign, out, only=ONLY)
    assert verdicts(run, set(failed)) == verdicts(finished, set(failed))
    assert all(run.changes(name) for name in failed)


def test_processes_that_the_system_refuses_stop_the_campaign_in_one_line(
    campaign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mutatenn.engine import forked_crew

    def refuse(*args: object, **options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(forked_crew.isolate, "fork", refuse)
        with pytest.raises(mutatenn.InfrastructureError, match=r"Errno 11.*run again to continue"):
            mutatenn.run(campaign, tmp_path / "run", only=ONLY[:1])
    run = mutatenn.run(campaign, tmp_path / "run", only=ONLY[:1])
    assert sum(bool(record.verdicts) for record in run.mutants) == 2


def test_parts_of_files_are_removed_when_a_run_continues(finished: Run, tmp_path: Path) -> None:
    """A process that was killed while it wrote leaves such."""
    out = tmp_path / "run"
    shutil.copytree(finished.directory, out)
    dead = 999_999_999  # no process has such a number
    parts = [out / "report" / f".a.json.{dead}.tmp", out / "mutants" / "m" / "cpu" / f".b.py.{dead}.tmp"]
    for part in parts:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    mutatenn.run(out / "campaign.toml", out)
    assert not any(part.exists() for part in parts)
    assert Store.open(out).tallies.statuses("cpu") == finished.statuses("cpu")
