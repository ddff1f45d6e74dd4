"""Long lists of parameters, of which a fixed sample is tried by default and all by ``make test-soak``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(values: Iterable[Any], every: int) -> list[Any]:
    """Return parameters for ``parametrize``: the first of so many each time, the others of the soak."""
    listed = list(values)
    return [
        value if n % every == 0 else pytest.param(*_arguments(value), marks=pytest.mark.soak)
        for n, value in enumerate(listed)
    ]


def _arguments(value: Any) -> tuple[Any, ...]:
    return value if type(value) is tuple else (value,)
