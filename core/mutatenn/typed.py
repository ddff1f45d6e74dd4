"""Plain data, as JSON gives it, against the types it is to have."""

from __future__ import annotations

import enum
import functools
import types
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

T = TypeVar("T")
Check = Callable[[Any], bool]
SCALARS: dict[Any, frozenset[type]] = {
    str: frozenset({str}),
    int: frozenset({int}),
    bool: frozenset({bool}),
    float: frozenset({float, int}),
    None: frozenset({types.NoneType}),
    types.NoneType: frozenset({types.NoneType}),
}


def build(cls: type[T], fields: object, **more: Any) -> T:
    """Return an attrs class built of plain data, lists as tuples; ``more`` are fields that are none.

    Raises ValueError for a field that the class does not have, one that is missing, and another type.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"{_shown(fields)} instead of a {cls.__name__}")  # noqa: TRY004  # of the data
    checks = checks_of(cls)  # type: ignore[arg-type]  # every class can be hashed
    for name, value in fields.items():
        if name not in checks or name in more:
            raise ValueError(f"a {cls.__name__} has no field {_shown(name)}")
        if not checks[name](value):
            raise ValueError(f"{name} of a {cls.__name__} is {_shown(value)}")
    try:
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}, **more)
    except TypeError as error:  # a field is missing
        raise ValueError(f"{error}") from None


def conforms(value: object, kind: Any) -> bool:
    """Tell whether plain data is of a type: as annotations write it, or a dict of types of keys.

    A list may stand for a tuple; the keys of a dict of types may be missing.
    """
    return check_of(kind)(value)


def check_of(kind: Any) -> Check:
    """Return what tells whether a value is of a type, as :func:`conforms` does."""
    if isinstance(kind, dict):
        checks = {key: check_of(each) for key, each in kind.items()}
        return lambda value: (
            isinstance(value, dict) and all(checks[key](value[key]) for key in checks.keys() & value.keys())
        )
    return _check_of(kind)


@functools.cache
def _check_of(kind: Any) -> Check:
    if kind in SCALARS:
        known = SCALARS[kind]
        return lambda value: type(value) in known
    if kind is Any:
        return lambda value: True  # noqa: ARG005  # whatever it is
    return functools.partial(_builds, kind) if attrs.has(kind) else _generic(kind)


def _generic(kind: Any) -> Check:
    origin, given = get_origin(kind), get_args(kind)
    if isinstance(kind, enum.EnumMeta):
        names = frozenset(map(str, kind.__members__.values()))
        return lambda value: type(value) is str and value in names
    if origin is Literal:
        return lambda value: any(type(value) is type(each) and value == each for each in given)
    if origin in (Union, types.UnionType):
        return _either([check_of(each) for each in given])
    if origin is tuple:
        return _items(given)
    if origin in (dict, Mapping):
        keys, values = map(_all, given)
        return lambda value: isinstance(value, dict) and keys(value.keys()) and values(value.values())
    raise TypeError(f"no plain data is a {kind}")


def _either(checks: list[Check]) -> Check:
    return lambda value: any(check(value) for check in checks)


def _items(kinds: tuple[Any, ...]) -> Check:
    """Return the check of a list: of any length, or of an item of each type."""
    if kinds[-1] is ...:
        every = _all(kinds[0])
        return lambda value: isinstance(value, (list, tuple)) and every(value)
    checks = [check_of(each) for each in kinds]
    return lambda value: (
        isinstance(value, (list, tuple))
        and len(value) == len(checks)
        and all(check(each) for check, each in zip(checks, value, strict=True))
    )


def _all(kind: Any) -> Check:
    """Return the check of values of one type, of which there may be very many."""
    if kind in SCALARS:
        known = SCALARS[kind]
        return lambda values: known.issuperset(map(type, values))
    check = check_of(kind)
    return lambda values: all(map(check, values))


def _builds(cls: type[Any], value: object) -> bool:
    try:
        build(cls, value)
    except ValueError:
        return False
    return True


@functools.cache
def checks_of(cls: Hashable) -> dict[str, Check]:
    """Return the checks of a class's fields; an array is no plain data."""
    hints = get_type_hints(cls, localns={"NDArray": _NoData})
    return {name: check_of(kind) for name, kind in hints.items() if not name.startswith("_")}


class _NoData:
    """Stands for an array in annotations: nothing in JSON is one."""

    def __class_getitem__(cls, item: object) -> Any:
        return Literal[()]


def _shown(value: object) -> str:
    return repr(value)[:80]
