"""A SQLite database whose every failure is one of ours: the machine's, or damage to the file."""

from __future__ import annotations

import sqlite3
import types
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.errors import InfrastructureError, InputError, MutatennError
from mutatenn.typed import check_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

MACHINE = (
    "database or disk is full",
    "disk i/o error",
    "readonly database",
    "is locked",
    "unable to open database file",
    "interrupted",
    "out of memory",
    "locking protocol",
    "permission denied",
)
"""What SQLite says when the machine, and not the file, is why; all else that it says is damage."""
MISUSE = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError)
UNSOUND = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)
"""What decoding raises for data that is not what was stored."""


@attrs.define(eq=False)
class Database:
    """A connection to the database in a file."""

    path: Path
    _connection: sqlite3.Connection

    @classmethod
    def connect(cls, path: Path, mode: str) -> Database:
        """Open a file in one of SQLite's modes: ``ro``, ``rw``, ``rwc``."""
        with sound(path):
            return cls(path, sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True))

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def execute(self, query: str, parameters: Sequence[Any] = (), kinds: Sequence[Any] = ()) -> Rows:
        """Return the rows of a query, whose values must be of these types, where given."""
        check = check_of(types.GenericAlias(tuple, tuple(kinds)) if kinds else Any)
        with sound(self.path):
            return Rows(self.path, self._connection.execute(query, parameters), check)

    def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once per row."""
        with sound(self.path):
            self._connection.executemany(query, rows)

    def executescript(self, script: str) -> None:
        """Run statements."""
        with sound(self.path):
            self._connection.executescript(script)

    def __enter__(self) -> None:
        self._connection.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with sound(self.path):
            self._connection.__exit__(kind, error, trace)


@attrs.frozen(eq=False)
class Rows:
    """The rows of a query, each checked as it comes."""

    path: Path
    _cursor: sqlite3.Cursor
    _check: Callable[[Any], bool]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        with sound(self.path):
            row = self._cursor.fetchone()
            if row is not None and not self._check(row):
                raise ValueError(f"{repr(row)[:80]} in it")
            return row

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self)


@attrs.frozen
class sound:  # noqa: N801  # reads as a statement
    """Raises what SQLite and decoding raise about a file as one of ours.

    InfrastructureError where the machine is to blame, InputError where the file is damaged.
    """

    path: Path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, (*MISUSE, MutatennError)):  # a bug of ours, or told already
            return
        if isinstance(error, sqlite3.Error) and any(each in str(error).lower() for each in MACHINE):
            raise InfrastructureError(
                f"{self.path}: {error}; the results so far are kept, run again to continue"
            ) from error
        if isinstance(error, (sqlite3.Error, *UNSOUND)):
            raise damaged(self.path, error) from error


def damaged(path: Path, why: object) -> InputError:
    """Return the error that says so of a file in a run directory."""
    return InputError(f"{path} is damaged ({why}); delete the run directory and run again")
