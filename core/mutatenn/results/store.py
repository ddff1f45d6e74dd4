"""The campaign's database: plan, observations and verdicts, the only truth about a run."""

from __future__ import annotations

import contextlib
import json
import os
import weakref
from typing import TYPE_CHECKING, Any, Literal

import attrs

from mutatenn.api.verdict import Status
from mutatenn.errors import InfrastructureError, InputError
from mutatenn.printable import one_line
from mutatenn.results.codec import (
    FACTS,
    check_facts,
    mutant_rows,
    observation_record,
    read_baseline,
    read_fact,
    read_mutant,
    read_observation,
    read_verdict,
    text_of,
)
from mutatenn.results.database import Database, damaged, sound
from mutatenn.results.outputs import ORIGINAL, TIMES, Outputs, name_of
from mutatenn.results.planned import PlannedOperator
from mutatenn.results.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.baseline import Baseline
    from mutatenn.api.executor import Observation
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.verdict import Verdict

RemarkKind = Literal["skip", "accept"]
SCHEMA_VERSION = 2
DATABASE = "campaign.sqlite"
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE images (position INTEGER PRIMARY KEY, name TEXT NOT NULL, truth INTEGER, digest TEXT NOT NULL);
CREATE TABLE mutants (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, operator TEXT NOT NULL, category TEXT NOT NULL,
    level TEXT NOT NULL, stage TEXT NOT NULL, sites TEXT NOT NULL, options TEXT NOT NULL,
    parts TEXT NOT NULL);
CREATE TABLE operators (
    environment TEXT NOT NULL, operator TEXT NOT NULL, category TEXT NOT NULL, level TEXT NOT NULL,
    sites INTEGER NOT NULL, mutants INTEGER NOT NULL, population INTEGER NOT NULL);
CREATE TABLE trials (environment TEXT NOT NULL, mutant TEXT NOT NULL, PRIMARY KEY (environment, mutant))
    WITHOUT ROWID;
CREATE TABLE remarks (kind TEXT NOT NULL, mutant TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (kind, mutant)) WITHOUT ROWID;
CREATE TABLE baselines (environment TEXT PRIMARY KEY, record TEXT NOT NULL, outputs TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE observations (
    environment TEXT NOT NULL, mutant TEXT NOT NULL, shard INTEGER NOT NULL,
    record TEXT NOT NULL, outputs TEXT,
    PRIMARY KEY (environment, mutant, shard)) WITHOUT ROWID;
CREATE TABLE verdicts (
    environment TEXT NOT NULL, mutant TEXT NOT NULL, status TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (environment, mutant)) WITHOUT ROWID;
"""


@attrs.define(eq=False)
class Store:
    """A run directory's database and raw outputs."""

    directory: Path
    _db: Database
    _images: frozenset[str] | None = attrs.field(init=False, default=None)
    _classes: dict[str, int] = attrs.field(init=False, factory=dict)
    _outputs: Outputs = attrs.field(init=False)

    @property
    def tallies(self) -> Tallies:
        """What it adds up to."""
        return Tallies(self._db)

    @_outputs.default
    def _files(self) -> Outputs:
        return Outputs(self.directory)

    def __attrs_post_init__(self) -> None:
        weakref.finalize(self, self._db.close)

    @classmethod
    def create(cls, directory: Path) -> Store:
        """Create the database of a new run."""
        store = cls(directory, Database.connect(directory / DATABASE, "rwc"))
        store._db.execute("PRAGMA journal_mode = WAL")
        with store._db:
            store._db.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        return store

    @classmethod
    def open(cls, directory: Path, *, write: bool = False) -> Store:
        """Open an existing run; raises InputError where there is none, or one of another version."""
        path = directory / DATABASE
        if not os.path.isfile(path):
            raise InputError(
                f"{directory} is not a run directory: it has no {DATABASE}; name one that `run` made"
            )
        try:
            store = cls(directory, Database.connect(path, "rw" if write else _reading(directory)))
            began = store.began()
        except InfrastructureError as error:
            if write:
                raise
            raise InputError(
                f"{path} cannot be read: {error.__cause__}; make it readable, or copy the run directory"
            ) from None
        if began:
            if store.meta("schema_version") != SCHEMA_VERSION:
                raise InputError(f"{path} was written by {_writer(store)}; use that, or run again")
            store._check()
        elif store._outputs.exist():
            raise damaged(path, "it has no plan, though there are outputs")
        elif not write:
            raise InputError(
                f"{directory} holds nothing yet: its campaign ended before it had a plan; run it again"
            )
        return store

    def _check(self) -> None:
        """Raise InputError unless the facts about the run are of their types and fit together."""
        facts = {key: self.meta(key) for key in FACTS}
        with sound(self._db.path):
            check_facts(facts, len(self._names()))

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def meta(self, key: str) -> Any:
        """Return a stored fact, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,), (str,)).fetchone()
        with sound(self._db.path):
            return read_fact(key, row[0]) if row else None

    def set_meta(self, key: str, value: Any) -> None:
        """Store a fact, if it is not stored yet."""
        if self.meta(key) != value:
            with self._db:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def began(self) -> bool:
        """Tell whether the run got as far as having a plan."""
        tables = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
        return tables is not None and self.meta("identity") is not None

    def empty(self) -> bool:
        """Tell whether no mutant has run yet."""
        return self._db.execute("SELECT 1 FROM observations").fetchone() is None

    def set_plan(
        self,
        images: Iterable[tuple[str, int | None, str]],
        plans: dict[str, tuple[Sequence[Mutant], Sequence[PlannedOperator]]],
        **facts: Any,
    ) -> None:
        """Store what a run is going to do, all at once: images, mutants per environment, facts."""
        mutants = {mutant.id: mutant for planned, _ in plans.values() for mutant in planned}
        facts |= {"schema_version": SCHEMA_VERSION}
        with self._db:
            execute = self._db.executemany
            execute("INSERT INTO images VALUES (?, ?, ?, ?)", [(i, *image) for i, image in enumerate(images)])
            execute("INSERT INTO mutants VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", mutant_rows(mutants.values()))
            for environment, (planned, operators) in plans.items():
                execute("INSERT INTO trials VALUES (?, ?)", ((environment, mutant.id) for mutant in planned))
                rows = [(environment, *attrs.astuple(entry)) for entry in operators]
                execute("INSERT INTO operators VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            rows = [(key, json.dumps(value)) for key, value in facts.items()]
            execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def images(self) -> list[tuple[str, int | None, str]]:
        """Return (name, true class, sha256) of every image, in order."""
        query = "SELECT name, truth, digest FROM images ORDER BY position"
        return self._db.execute(query, (), (str, int | None, str)).fetchall()

    def _names(self) -> frozenset[str]:
        """Return the names of the images, which differ, read once."""
        if self._images is None:
            self._images = frozenset(name for name, _, _ in self.images())
        return self._images

    def mutants(self, beginning: str = "") -> Iterator[Mutant]:
        """Return the planned mutants in order, of those whose id begins so."""
        query = (
            "SELECT id, operator, category, level, stage, sites, options, parts FROM mutants "
            "WHERE substr(id, 1, length(?)) = ? ORDER BY position"
        )
        return map(self._mutant, self._db.execute(query, (beginning, beginning), (str,) * 8))

    def operators(self, environment: str) -> list[PlannedOperator]:
        """Return what each operator found in an environment, in the plan's order."""
        columns = "operator, category, level, sites, mutants, population"
        query = f"SELECT {columns} FROM operators WHERE environment = ? ORDER BY rowid"  # noqa: S608  # constants
        rows = self._db.execute(query, (environment,), (*[str] * 3, *[int] * 3))
        return [PlannedOperator(*row) for row in rows]

    def ids(self) -> list[str]:
        """Return the ids of the planned mutants in order."""
        return [row[0] for row in self._db.execute("SELECT id FROM mutants ORDER BY position", (), (str,))]

    def trials(self, environment: str) -> list[str]:
        """Return the ids of an environment's mutants in the plan's order."""
        query = "SELECT id FROM mutants JOIN trials ON id = mutant WHERE environment = ? ORDER BY position"
        return [row[0] for row in self._db.execute(query, (environment,), (str,))]

    def set_remarks(self, remarks: set[tuple[RemarkKind, str, str]]) -> None:
        """Store what the user says of mutants, as (kind, mutant, reason), in place of earlier remarks."""
        if set(self._db.execute("SELECT * FROM remarks")) == remarks:
            return
        with self._db:
            self._db.execute("DELETE FROM remarks")
            self._db.executemany("INSERT OR IGNORE INTO remarks VALUES (?, ?, ?)", sorted(remarks))

    def remarks(self, kind: RemarkKind) -> dict[str, str]:
        """Return the reasons of one kind of remarks by mutant."""
        query = "SELECT mutant, reason FROM remarks WHERE kind = ? ORDER BY mutant"
        return dict(self._db.execute(query, (kind,), (str, str)))

    def set_baseline(self, baseline: Baseline, outputs: NDArray[np.float32]) -> None:
        """Store how the original did in an environment, and its outputs ``[images, classes]``."""
        digest = self._outputs.save(baseline.environment, ORIGINAL, outputs)
        with self._db:
            row = (baseline.environment, text_of(baseline), digest)
            self._db.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?)", row)

    def baselines(self) -> dict[str, Baseline]:
        """Return the stored baselines by environment."""
        rows = self._db.execute("SELECT environment, record FROM baselines", (), (str, str))
        return {name: self._baseline(name, text) for name, text in rows}

    def _baseline(self, environment: str, text: str) -> Baseline:
        with sound(self._db.path):
            return read_baseline(environment, text)

    def original(self, environment: str) -> NDArray[np.float32] | None:
        """Return the original's outputs ``[images, classes]``, or None before the baseline ran."""
        query = "SELECT outputs FROM baselines WHERE environment = ?"
        row = self._db.execute(query, (environment,), (str,)).fetchone()
        if row is None:
            return None
        outputs = self._outputs.load(environment, ORIGINAL, row[0], len(self._names()) or None, None)
        self._classes[environment] = outputs.shape[1]
        return outputs

    def set_times(self, environment: str, seconds: NDArray[np.float32], about: dict[str, Any]) -> None:
        """Store how long the original took, ``[repeats, images]``, and how that was measured."""
        digest = self._outputs.save(environment, TIMES, seconds)
        kept = dict(self.meta("times") or {})
        self.set_meta("times", kept | {environment: about | {"digest": digest, "shape": list(seconds.shape)}})

    def about_times(self, environment: str) -> dict[str, Any] | None:
        """Return how the times of an environment were measured, None where they were not."""
        found: dict[str, dict[str, Any]] = self.meta("times") or {}
        return found.get(environment)

    def times(self, environment: str) -> NDArray[np.float32] | None:
        """Return the seconds of the original, ``[repeats, images]``, None where they were not measured."""
        about = self.about_times(environment)
        if about is None:
            return None
        with sound(self._db.path):
            repeats, images = about["shape"]
            digest = str(about["digest"])
        return self._outputs.load(environment, TIMES, digest, repeats, images)

    def add_observation(self, environment: str, shard: int, seen: Observation) -> None:
        """Store what was seen of a mutant on one shard of images."""
        digest = self._save(environment, name_of(seen.mutant, shard), seen)
        again = None
        if seen.again:
            again = self._save(environment, name_of(seen.mutant, shard, again=True), seen.again)
        with self._db:
            row = (environment, seen.mutant, shard, observation_record(seen, again), digest)
            self._db.execute("INSERT OR REPLACE INTO observations VALUES (?, ?, ?, ?, ?)", row)

    def observations(self, environment: str, mutant: str) -> dict[int, Observation]:
        """Return what was seen of a mutant, by shard."""
        where = "environment = ? AND mutant = ? ORDER BY shard"
        query = f"SELECT shard, record, outputs FROM observations WHERE {where}"  # noqa: S608  # constants
        rows = self._db.execute(query, (environment, mutant), (int, str, str | None)).fetchall()
        return {shard: self._observation(environment, mutant, shard, *rest) for shard, *rest in rows}

    def set_verdict(self, verdict: Verdict) -> None:
        """Store a verdict, replacing an earlier one."""
        row = (verdict.environment, verdict.mutant, verdict.status, text_of(verdict))
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)", row)

    def verdict(self, environment: str, mutant: str) -> Verdict | None:
        """Return the verdict on a mutant, or None before it has one."""
        query = "SELECT mutant, status, record FROM verdicts WHERE environment = ? AND mutant = ?"
        row = self._db.execute(query, (environment, mutant), (str, Status, str)).fetchone()
        return self._verdict(environment, row) if row else None

    def verdicts(self, environment: str, status: Status) -> Iterator[Verdict]:
        """Return the verdicts of one status in an environment, in the plan's order."""
        query = (
            "SELECT mutant, status, record FROM verdicts JOIN mutants ON id = mutant "
            "WHERE environment = ? AND status = ? ORDER BY position"
        )
        rows = self._db.execute(query, (environment, status), (str, Status, str))
        return (self._verdict(environment, row) for row in rows)

    def _observation(
        self, environment: str, mutant: str, shard: int, text: str, digest: str | None
    ) -> Observation:
        def load(part: str, digest: str | None, rows: int) -> NDArray[np.float32]:
            name = name_of(mutant, shard, again=bool(part))
            return self._outputs.load(environment, name, str(digest), rows, self._width(environment))

        with sound(self._db.path):
            return read_observation(mutant, text, digest, len(self._names()), load)

    def _save(self, environment: str, name: str, seen: Observation) -> str | None:
        return self._outputs.save(environment, name, seen.outputs) if len(seen.rows) else None

    def _width(self, environment: str) -> int | None:
        """Return how many classes an environment's outputs have, None before its baseline ran."""
        if environment not in self._classes:
            self.original(environment)
        return self._classes.get(environment)

    def _verdict(self, environment: str, row: tuple[str, str, str]) -> Verdict:
        with sound(self._db.path):
            return read_verdict(environment, *row, self._names())

    def _mutant(self, row: Sequence[str]) -> Mutant:
        with sound(self._db.path):
            return read_mutant(row)


def _writer(store: Store) -> str:
    """Return the version that wrote a database of another schema, as far as it tells."""
    with contextlib.suppress(InputError):
        if version := (store.meta("facts") or {}).get("versions", {}).get("mutatenn"):
            return f"mutatenn {one_line(version)}"
    return "another version of mutatenn"


def _reading(directory: Path) -> str:
    """Return the mode for reading: even then SQLite writes beside a database, unless told not to."""
    lone = not (directory / f"{DATABASE}-wal").exists()
    return "ro&immutable=1" if lone and not os.access(directory, os.W_OK) else "ro"
