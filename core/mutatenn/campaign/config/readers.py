"""Readers turn plain data into values and report every problem, each with its path in the data."""

from __future__ import annotations

import json
import math
import re
import reprlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from mutatenn.errors import InputError
from mutatenn.nearest import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

INT_LIMIT = 2**63 - 1

_TYPES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class SchemaError(Exception):
    """Problems with a value: (path below the value, one line) pairs."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self.problems = problems


def problem(message: str) -> SchemaError:
    """Return the error for one problem with the value itself."""
    return SchemaError(("", message))


class Problems:
    """Collects the problems of the parts of one value."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    @contextmanager
    def at(self, path: str) -> Iterator[None]:
        """Collect what the body raises (SchemaError, InputError) as problems of the part at ``path``."""
        try:
            yield
        except SchemaError as error:
            self._found += [(path + below, message) for below, message in error.problems]
        except InputError as error:
            self._found.append((path, str(error)))

    def check(self) -> None:
        """Raise what was collected, if anything."""
        if self._found:
            raise SchemaError(*self._found)


def shown(value: object) -> str:
    """Return the value as a message shows it: on one line, not too long."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python does not write integers of thousands of digits
        return "a very long number"


def text(value: Any) -> str:
    """Read a string that has content and no control characters."""
    value = _typed(value, str)
    if not value.strip():
        raise problem("must not be empty")
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise problem(f"must not hold control characters, got {shown(value)}")
    return cast("str", value)


def choice(*allowed: str) -> Callable[[Any], Any]:
    """Return a reader for one of a few words."""

    def read(value: Any) -> str:
        if value not in allowed:
            hint = suggestion(value, allowed) if isinstance(value, str) else ""
            raise problem(f"must be one of {', '.join(map(repr, allowed))}, got {shown(value)}{hint}")
        return cast("str", value)

    return read


def integer(minimum: int = -INT_LIMIT, maximum: int = INT_LIMIT) -> Callable[[Any], int]:
    """Return a reader for integers between two bounds, both allowed; by default TOML's own."""

    def read(value: Any) -> int:
        return cast("int", _bounded(_typed(value, int), minimum, maximum))

    return read


def number(minimum: float | None = None, maximum: float | None = None) -> Callable[[Any], float]:
    """Return a reader for finite numbers between two bounds, both allowed; integers become floats."""

    def read(value: Any) -> float:
        found = float(integer()(value)) if type(value) is int else cast("float", _typed(value, float))
        if not math.isfinite(found):
            raise problem(f"must be a finite number, got {found}")
        return cast("float", _bounded(found, minimum, maximum))

    return read


def array(
    reader: Callable[[Any], T], *, least: int = 0, key: Callable[[T], object] | None = None
) -> Callable[[Any], tuple[T, ...]]:
    """Return a reader for lists of at least ``least`` items, whose keys, where given, must be distinct."""

    def read(value: Any) -> tuple[T, ...]:
        if len(_typed(value, list)) < least:
            raise problem(f"must have at least {least} item{'s' * (least > 1)}")
        problems, items, seen = Problems(), [], set[object]()
        for index, part in enumerate(value):
            with problems.at(f"[{index}]"):
                items.append(reader(part))
                mark = key(items[-1]) if key else index
                if mark in seen:
                    raise problem(f"{mark!r} is there twice")
                seen.add(mark)
        problems.check()
        return tuple(items)

    return read


def table(build: type[T], **readers: Callable[[Any], Any]) -> Callable[[Any], T]:
    """Return a reader for tables with exactly these keys, which are fields of the attrs class ``build``.

    A key is required when its field has no default.
    """
    fields = attrs.fields(cast("type[attrs.AttrsInstance]", build))
    required = [field.name for field in fields if field.default is attrs.NOTHING]

    def read(value: Any) -> T:
        problems, found = Problems(), dict[str, Any]()
        for name, part in _typed(value, dict).items():
            with problems.at(member(name)):
                found[name] = _known(name, readers)(part)
        for name in required:
            with problems.at(member(name)):
                if name not in value:
                    raise problem("missing; this key is required")
        problems.check()
        return build(**found)

    return read


def by_type(expected: str, **readers: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return a reader that leaves the value to the reader of its type (``int``, ``str``, ``list``, ...)."""

    def read(value: Any) -> T:
        reader = readers.get(type(value).__name__)
        if reader is None:
            raise problem(f"expected {expected}, got {shown(value)}")
        return reader(value)

    return read


def plain(value: Any) -> Any:
    """Read anything made of strings, finite numbers, booleans, lists and tables, as it is."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, list):
        return list(array(plain)(value))
    return by_type("plain data", int=integer(), float=number(), dict=options)(value)


def options(value: Any) -> dict[str, Any]:
    """Read a table of plain data with any keys."""
    problems, found = Problems(), dict[str, Any]()
    for name, part in _typed(value, dict).items():
        with problems.at(member(name)):
            found[name] = plain(part)
    problems.check()
    return found


def member(name: str) -> str:
    """Return the path from a table to its key, quoted where TOML wants quotes."""
    return f".{name}" if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f".{json.dumps(name)}"


def _known(name: str, readers: Mapping[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    if name not in readers:
        raise problem("unknown key" + (suggestion(name, readers) or f"; known here: {', '.join(readers)}"))
    return readers[name]


def _typed(value: Any, wanted: type) -> Any:
    # Exact, because a bool is an int to Python but not to the user.
    if type(value) is not wanted:
        raise problem(f"expected {_TYPES[wanted]}, got {shown(value)}")
    return value


def _bounded(value: Any, minimum: float | None, maximum: float | None) -> Any:
    if minimum is not None and value < minimum:
        raise problem(f"must be at least {minimum}, got {shown(value)}")
    if maximum is not None and value > maximum:
        raise problem(f"must be at most {maximum}, got {shown(value)}")
    return value
