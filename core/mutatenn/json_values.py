"""Values as JSON has them, which knows no NaN and no infinity."""

from __future__ import annotations

import math
from typing import Any


def jsonable(value: Any) -> Any:
    """Return the value with lists for tuples, and None for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    return finite(value) if isinstance(value, float) else value


def finite(value: float) -> float | None:
    """Return the number, as Python's own, or None if it is not finite."""
    return float(value) if math.isfinite(value) else None
