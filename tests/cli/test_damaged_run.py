"""Whatever is damaged in a run directory, every command says so in one line, or does not need it."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn.files import save_array

Command = Callable[..., Any]

READING = (
    ("report",),
    ("report", "--reporter", "json"),
    ("show", "store-minus"),
    ("show", "transpose", "--json"),
    ("images",),
    ("score",),
    ("compare",),
)
# Columns whose texts are more than text, each with what may stand there instead.
COLUMNS = (
    *(("meta", "value"), ("mutants", "sites"), ("mutants", "options"), ("mutants", "parts")),
    *(("baselines", "record"), ("observations", "record"), ("verdicts", "record"), ("verdicts", "status")),
    *(("images", "name"), ("images", "truth"), ("operators", "population"), ("baselines", "outputs")),
)
TABLES = (
    "meta",
    "images",
    "mutants",
    "operators",
    "trials",
    "remarks",
    "baselines",
    "observations",
    "verdicts",
)
VALUES = (
    "",
    "{",
    "[]",
    "{}",
    "5",
    "null",
    '"x"',
    "[[1]]",
    '{"images": 1e999}',
    "[" * 9999,
    b"\xff\xfe",
    7,
    1.5,
)
FIELDS = (None, -1, 10**30, 1e308, "x", [], [1, "x"], {}, {"a": []}, True, [[0]], "\x1b[31m")


def damage_bytes(run: Path, chance: random.Random) -> None:
    """Change bytes anywhere in the database but in its first page."""
    path = run / "campaign.sqlite"
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 20, 2000))):
        content[chance.randrange(4096, len(content))] = chance.randrange(256)
    path.write_bytes(content)


def damage_pages(run: Path, chance: random.Random) -> None:
    """Fill a page with zeros."""
    path = run / "campaign.sqlite"
    content = bytearray(path.read_bytes())
    page = chance.randrange(len(content) // 4096)
    content[page * 4096 : (page + 1) * 4096] = bytes(4096)
    path.write_bytes(content)


def damage_schema(run: Path, chance: random.Random) -> None:
    """Take away a table, or the name of a column."""
    table = chance.choice(TABLES)
    with closing(sqlite3.connect(run / "campaign.sqlite")) as db:
        if chance.random() < 0.5:
            db.execute(f"DROP TABLE {table}")
        else:
            column = chance.choice([row[1] for row in db.execute(f"PRAGMA table_info({table})")])
            db.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO lost")
        db.commit()


def damage_values(run: Path, chance: random.Random) -> None:
    """Put another value in place of one or all of a column."""
    table, column = chance.choice(COLUMNS)
    some = chance.choice(("", f" WHERE {column} = (SELECT {column} FROM {table} LIMIT 1)"))
    with closing(sqlite3.connect(run / "campaign.sqlite")) as db:
        db.execute(f"UPDATE {table} SET {column} = ?{some}", (chance.choice(VALUES),))
        db.commit()


def damage_fields(run: Path, chance: random.Random) -> None:
    """Put another value in place of a field of a record, or take the field away."""
    table, column = chance.choice([each for each in COLUMNS if each[1] in ("record", "value")])
    with closing(sqlite3.connect(run / "campaign.sqlite")) as db:
        rows = db.execute(f"SELECT {column} FROM {table}").fetchall()
        (record,) = chance.choice(rows)
        fields = json.loads(record)
        place = fields
        while isinstance(place, dict) and chance.random() < 0.4:
            place = place[chance.choice(list(place))] if place else None
        if not (isinstance(place, dict) and place):
            place = fields if isinstance(fields, dict) and fields else {"": fields}
        key = chance.choice(list(place))
        if chance.random() < 0.3:
            del place[key]
        else:
            place[key] = chance.choice(FIELDS)
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (json.dumps(fields), record))
        db.commit()


def damage_outputs(run: Path, chance: random.Random) -> None:
    """Store outputs of another shape or kind under the digest that is right for them."""
    path = chance.choice(sorted((run / "outputs").glob("*/*.npy")))
    wrong = chance.choice(
        [
            np.zeros((3, 10), np.float32),
            np.zeros((25, 9), np.float32),
            np.zeros((25, 10), np.float64),
            np.zeros((25, 10), "U3"),
            np.zeros(250, np.float32),
            np.float32(1),
            np.zeros((0, 10), np.float32),
        ]
    )
    digest = save_array(path, wrong)
    name = path.stem.rpartition(".")[0]
    with closing(sqlite3.connect(run / "campaign.sqlite")) as db:
        db.execute("UPDATE observations SET outputs = ? WHERE mutant = ?", (digest, name))
        db.execute("UPDATE baselines SET outputs = ? WHERE ? = 'original'", (digest, path.stem))
        db.commit()


def damage_files(run: Path, chance: random.Random) -> None:
    """Cut, empty, remove or replace a file by something that is none."""
    (run / "report").mkdir(exist_ok=True)
    path = chance.choice(sorted(each for each in run.rglob("*") if each.name != "campaign.sqlite"))
    content = path.read_bytes() if path.is_file() else b""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    how = chance.choice(("cut", "gone", "fifo", "folder", "loop", "dangling", "binary"))
    if how in ("cut", "binary"):
        path.write_bytes(content[: len(content) // 2] if how == "cut" else bytes(range(256)))
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how != "gone":
        path.symlink_to(path if how == "loop" else run / "nowhere")


DAMAGES = (
    *(damage_bytes, damage_pages, damage_schema, damage_values, damage_fields, damage_outputs, damage_files),
)


@pytest.fixture
def broken(finished: Any, tmp_path: Path) -> Path:
    """Return a copy of the finished run, to be damaged."""
    copy = tmp_path / "run"
    shutil.copytree(finished.directory, copy)
    return copy


def told(done: Any, *parts: str) -> None:
    """Check that a command ended well, or with one line and an exit code that says whose fault it is."""
    lines = done.err.splitlines()
    assert "Traceback" not in done.err
    assert all(line.isprintable() for line in lines)
    assert done.code in (0, 2, 4), done
    if done.code:
        assert len(lines) == 1, done.err
        assert lines[0].startswith("mutatenn: error: ")
    for part in parts:
        assert part in done.err


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.soak) for n in range(2, 60))])
def test_any_damage(broken: Path, command: Command, damage: Callable[..., None], seed: int) -> None:
    damage(broken, random.Random(f"{damage.__name__}{seed}"))
    for name, *rest in READING:
        told(command(name, broken, *rest))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in range(1, 12))])
def test_any_damage_to_a_run_that_goes_on(
    finished: Any, broken: Path, command: Command, damage: Callable[..., None], seed: int
) -> None:
    damage(broken, random.Random(f"{damage.__name__}{seed} on"))
    told(command("run", finished.campaign, "--out", broken, "--reporter", "json"))
    told(command("show", broken, "transpose", "--trace"))
    told(command("bundle", broken, "--environment", "cpu"))
    told(command("ingest", broken, broken / "campaign.toml"))


@pytest.mark.parametrize("argv", [*READING, ("run",)])
def test_an_empty_database_beside_outputs(
    finished: Any, broken: Path, command: Command, argv: tuple[str, ...]
) -> None:
    (broken / "campaign.sqlite").write_bytes(b"")
    name, *rest = argv
    argv = (name, broken, *rest) if rest or name != "run" else (name, finished.campaign, "--out", broken)
    done = command(*argv)
    assert done.code == 2
    told(done, f"{broken}/campaign.sqlite is damaged (it has no plan, though there are outputs); delete")
    assert sorted(broken.glob("outputs/*/*.npy"))


def test_reports_are_not_written_through_a_link(finished: Any, broken: Path, command: Command) -> None:
    elsewhere = broken.with_name("elsewhere")
    elsewhere.mkdir()
    shutil.rmtree(broken / "report")
    (broken / "report").symlink_to(elsewhere)
    for argv in (("report", broken, "--reporter", "json"), ("run", finished.campaign, "--out", broken)):
        done = command(*argv)
        assert done.code == 2
        told(done, f"{broken}/report is a link, and reports are not written through it; remove it")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("what", ["dangling", "loop", "fifo", "lock", "database fifo"])
def test_a_run_directory_that_is_something_else(
    finished: Any, broken: Path, command: Command, what: str, tmp_path: Path
) -> None:
    place = broken if "lock" in what or "database" in what else tmp_path / "place"
    if what == "dangling":
        place.symlink_to(tmp_path / "nowhere")
    elif what == "loop":
        place.symlink_to(place)
    elif what == "fifo":
        os.mkfifo(place)
    elif what == "lock":
        (place / ".lock").unlink()
        (place / ".lock").symlink_to(tmp_path / "elsewhere")
    else:
        (place / "campaign.sqlite").unlink()
        os.mkfifo(place / "campaign.sqlite")
    done = command("run", finished.campaign, "--out", place)
    assert done.code == 2
    told(done, str(place))
    assert not (tmp_path / "elsewhere").exists()
    told(command("report", place))
