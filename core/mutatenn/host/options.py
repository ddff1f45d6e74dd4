"""Makes a capability from the options a campaign file gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from mutatenn.border import calling
from mutatenn.errors import InputError
from mutatenn.nearest import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mutatenn.api.capability import Capability

C = TypeVar("C", bound="Capability")


def create(cls: type[C], options: Mapping[str, Any]) -> C:
    """Return ``cls`` with the options.

    An option takes values of its default's type (an integer will do for a float, a list for a tuple); what
    its attrs validators refuse is refused. Raises InputError for an option the class does not have or
    cannot take.
    """
    known = {field.name: field for field in attrs.fields(cls) if field.init} if attrs.has(cls) else {}
    for name in options:
        if name not in known:
            fitting = suggestion(name, known) or f"; it has {', '.join(known) or 'none'}"
            raise InputError(f"{cls.name} has no option {name!r}{fitting}")
    with calling(cls, "__init__"):
        try:
            return cls(**{name: _fitting(value, known[name].default) for name, value in options.items()})
        except (ValueError, TypeError) as error:
            if not options:
                raise
            raise _unfit(cls, options, error) from error


def _unfit(cls: type[Capability], options: Mapping[str, Any], error: Exception) -> InputError:
    shown = ", ".join(f"{name} = {value!r}" for name, value in options.items())
    why = error.args[0] if error.args else error  # validators of attrs put more after the message
    return InputError(f"{cls.name} cannot take {shown}: {why}")


def _fitting(value: Any, default: Any) -> Any:
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, bool | int | float | str | tuple) and type(value) is not type(default):
        raise TypeError(f"{value!r} is not a {type(default).__name__}")
    return value
