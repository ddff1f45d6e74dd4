"""The page about commands says what the commands say, and names every variable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from page_scripts import script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", name="script")
def the_script() -> Any:
    return script("commands_page")


def test_the_page_says_what_the_commands_say(script: Any) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python scripts/commands_page.py"


def test_every_variable_is_told(script: Any) -> None:
    sources = [*ROOT.glob("core/**/*.py"), *ROOT.glob("plugins/**/*.py")]
    found = {name for path in sources for name in re.findall(r'"(MUTATENN_[A-Z_]+)"', path.read_text())}
    assert found == set(re.findall(r"`(MUTATENN_[A-Z_]+)`", script.INTRODUCTION))
