"""Plain data, as JSON gives it, against the types it is to have."""

from __future__ import annotations

import functools
import types
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

T = TypeVar("T")
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
    kinds = _kinds(cls)  # type: ignore[arg-type]  # every class can be hashed
    if strange := fields.keys() - (kinds.keys() - more.keys()):
        raise ValueError(f"a {cls.__name__} has no field {_shown(min(map(str, strange)))}")
    for name, value in fields.items():
        if not conforms(value, kinds[name]):
            raise ValueError(f"{name} of a {cls.__name__} is {_shown(value)}")
    try:
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}, **more)
    except TypeError as error:  # a field is missing
        raise ValueError(f"{error}") from None


def conforms(value: object, kind: Any) -> bool:
    """Tell whether plain data is of a type: as annotations write it, or a dict of types of keys.

    A list may stand for a tuple; the keys of a dict of types may be missing.
    """
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(
            conforms(value[k], kind[k]) for k in kind.keys() & value.keys()
        )
    if kind in SCALARS:
        return type(value) in SCALARS[kind]
    if kind is Any:
        return True
    if attrs.has(kind):
        return _builds(kind, value)
    return _generic(value, kind)


def _generic(value: object, kind: Any) -> bool:
    origin, given = get_origin(kind), get_args(kind)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in given)
    if origin in (Union, types.UnionType):
        return any(conforms(value, each) for each in given)
    if origin is tuple and given[-1] is ...:
        return isinstance(value, (list, tuple)) and _all(value, given[0])
    if origin is tuple:
        fits = isinstance(value, (list, tuple)) and len(value) == len(given)
        return fits and all(map(conforms, value, given))  # type: ignore[call-overload]
    if origin in (dict, Mapping):
        return isinstance(value, dict) and _all(value.keys(), given[0]) and _all(value.values(), given[1])
    raise TypeError(f"no plain data is a {kind}")


def _all(values: Iterable[object], kind: Any) -> bool:
    if not isinstance(kind, dict) and kind in SCALARS:  # not one by one: there may be very many
        return SCALARS[kind].issuperset(map(type, values))
    return all(conforms(each, kind) for each in values)


def _builds(cls: type[Any], value: object) -> bool:
    try:
        build(cls, value)
    except ValueError:
        return False
    return True


@functools.cache
def _kinds(cls: Hashable) -> dict[str, Any]:
    """Return the types of a class's fields; arrays, which are no plain data, are None."""
    hints = get_type_hints(cls, localns={"NDArray": _NoData})
    return {name: kind for name, kind in hints.items() if not name.startswith("_")}


class _NoData:
    """Stands for an array in annotations: nothing in JSON is one."""

    def __class_getitem__(cls, item: object) -> Any:
        return Literal[()]


def _shown(value: object) -> str:
    return repr(value)[:80]
