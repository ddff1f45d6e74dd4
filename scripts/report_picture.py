"""Takes the README's picture of the report's page: ``python scripts/report_picture.py runs/demo``.

Needs Chromium, and Playwright (``pip install --group browser``).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

import mutatenn

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "report.png"
WIDTH, HEIGHT = 1200, 1240
COLOURS = 128


def main(directory: str) -> None:
    """Write the picture of a run's page."""
    from playwright.sync_api import sync_playwright

    reporter = mutatenn.PluginHost.installed().get("reporter", "html")()
    assert isinstance(reporter, mutatenn.Reporter)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        reporter.report(mutatenn.open_run(directory), Path(folder))
        program = (
            shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        )
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto((Path(folder) / "report.html").as_uri())
        page.wait_for_selector("html[data-ready]")
        page.wait_for_selector("#detail .diff")
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()
    with Image.open(PICTURE) as taken:
        few = taken.convert("P", palette=Image.Palette.ADAPTIVE, colors=COLOURS)
    few.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
