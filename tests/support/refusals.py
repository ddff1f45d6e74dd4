"""What every frontend says of a model that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mutatenn import InputError


def check_refusal(load: Callable[[Path], object], path: Path, text: str) -> None:
    """Check that loading fails in one line: the path, a text, and a cure."""
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert text in message
    assert "\n" not in message
    assert "; " in message
