"""Validators of options; each raises a ValueError that says what the option must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import attrs

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def number(wanted: str, accepts: Callable[[float], bool]) -> Validator:
    """Return a validator for a number that ``accepts`` holds for, put in words by ``wanted``."""

    def check(_comparator: Any, option: attrs.Attribute[Any], value: Any) -> None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not accepts(value):
            raise ValueError(f"option {option.name!r} must be {wanted}, not {value!r}")

    return check


positive_integer = number("an integer of at least 1", lambda k: isinstance(k, int) and k >= 1)
