"""Validators of options; each raises a ValueError that says what the option must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import attrs

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def number(wanted: str, accepts: Callable[[float], bool]) -> Validator:
    """Return a validator for a number that ``accepts`` holds for, put in words by ``wanted``."""

    def check(_mutator: Any, option: attrs.Attribute[Any], value: Any) -> None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not accepts(value):
            raise ValueError(f"option {option.name!r} must be {wanted}, not {value!r}")

    return check


def one_of(*words: str) -> Validator:
    """Return a validator for one of some words."""

    def check(_mutator: Any, option: attrs.Attribute[Any], value: Any) -> None:
        if value not in words:
            raise ValueError(f"option {option.name!r} must be one of {', '.join(words)}, not {value!r}")

    return check


seed = number("an integer of at least 0", lambda n: isinstance(n, int) and n >= 0)
ratio = number("above 0 and at most 1", lambda share: 0 < share <= 1)
finite = number("a finite number", math.isfinite)
positive = number("a number above 0", lambda x: 0 < x < math.inf)
