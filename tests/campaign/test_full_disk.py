"""A machine that cannot write ends a campaign in one line; what was seen is kept, and it goes on there."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import mutatenn
from mutatenn import InfrastructureError, InputError
from mutatenn.cli.main import main
from mutatenn.files import drop_leftovers, write_atomically
from mutatenn.results.database import Database, sound


def fill(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Give every database so many pages, as a disk that is full then."""
    connect = Database.connect

    def limited(path: Path, mode: str) -> Database:
        database = connect(path, mode)
        database.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        return database

    monkeypatch.setattr(Database, "connect", limited)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


@pytest.mark.slow
def test_a_disk_that_fills(
    campaign: Path,
    finished: mutatenn.results.run.Run,  # type: ignore[name-defined]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    for pages in (5, 21):
        with monkeypatch.context() as patch:
            fill(patch, pages)
            assert main(["run", str(campaign), "--out", str(out), "--workers", "1"]) == 4, pages
        told = capsys.readouterr().err
        assert told == (
            f"mutatenn: error: {out}/campaign.sqlite: database or disk is full; "
            "the results so far are kept, run again to continue\n"
        )
        assert leftovers(out) == []
    with closing(mutatenn.open_run(out)._store) as store:
        done = len(store.tallies.statuses("cpu"))
    assert 0 < done < len(finished.mutants)
    run = mutatenn.run(campaign, out)
    assert [record.verdicts["cpu"].status for record in run.mutants] == [
        record.verdicts["cpu"].status for record in finished.mutants
    ]
    for record in run.mutants:
        assert (run.outputs("cpu", record.id) == finished.outputs("cpu", record.id)).all()


@pytest.mark.parametrize(
    "said",
    [
        *("database or disk is full", "disk I/O error", "attempt to write a readonly database"),
        *("database is locked", "unable to open database file", "interrupted", "database table is locked: x"),
    ],
)
def test_what_the_machine_is_to_blame_for(said: str, tmp_path: Path) -> None:
    with (
        pytest.raises(InfrastructureError, match="the results so far are kept, run again to continue"),
        sound(tmp_path),
    ):
        raise sqlite3.OperationalError(said)


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("no such table: meta"),
        sqlite3.OperationalError("malformed JSON"),
        sqlite3.DatabaseError("database disk image is malformed"),
        KeyError("images"),
    ],
)
def test_what_the_file_is_to_blame_for(error: Exception, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"is damaged \(.*\); delete the run directory and run again"),
        sound(tmp_path),
    ):
        raise error


def test_what_is_a_bug_of_ours(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.ProgrammingError), sound(tmp_path):
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"before")

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"after")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"before"}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"before")
    (tmp_path / f".file.{os.getpid()}.tmp").symlink_to(tmp_path / "elsewhere")
    write_atomically(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "elsewhere").read_bytes() == b"before"


def test_what_dead_processes_left_goes(tmp_path: Path) -> None:
    (tmp_path / "mutants" / "m").mkdir(parents=True)
    dead = 2**22 + 1  # more than the kernel gives out
    names = {f".a.{dead}.tmp": False, f"mutants/m/.b.py.{dead}.tmp": False, f".c.{os.getppid()}.tmp": True}
    names |= {"d.tmp": True, f"e.{dead}.tmp": True, ".lock": True, ".tmp": True}
    for name in names:
        (tmp_path / name).touch()
    drop_leftovers(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names
