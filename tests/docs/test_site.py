"""The documentation builds as a site, and no link in it leads nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_in_it(site: Path) -> None:
    pages = {path.stem for path in ROOT.glob("docs/*.md")} - {"README"} | {"overview", "changelog", "index"}
    assert {path.stem for path in site.glob("*.html")} >= pages


def test_its_front_page_leads_by_question(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="campaign-file.html#thresholds"' in text
    assert 'href="overview.html#your-own-model"' in text
