"""A real browser, the page of a real run in it, and the page of a run whose every name is an attack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import mutatenn

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CAMPAIGN = """
name = "small"

[model]
path = "mutatenn:digits.onnx"

[preprocess]
mean = 127.5
std = 127.5

[dataset]
images = ["mutatenn:digits/[0-5]_00*.png"]
truth = "filename-prefix"

[[environments]]
name = "cpu"
backend = "llvm"

[[environments]]
name = "cpu-basic"
backend = "llvm"
profile = "basic"

[[mutations]]
operator = "relu-to-sigmoid"

[[mutations]]
operator = "store-int16"
sites = { sample = 12, seed = 1 }

[[mutations]]
operator = "lt-to-le"

[oracles]
also = ["max-abs"]
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@attrs.frozen(eq=False)
class Tab:
    """A page in a browser, and what it said and asked for."""

    page: Any
    said: list[str]
    asked: list[str]

    def open(self, path: Path, fragment: str = "") -> Any:
        """Show a report and wait until it is drawn."""
        self.page.goto("about:blank")  # else only the fragment changes, and nothing is loaded
        self.page.goto(f"{path.as_uri()}{fragment}")
        self.page.wait_for_selector("html[data-ready]")
        return self.page


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return Chromium, started by Playwright; skips where one is missing, unless they must be there."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    required = os.environ.get("MUTATENN_BROWSER") == "required"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        assert not required, "playwright is not installed"
        pytest.skip("a browser needs playwright; `make test-browser` installs it")
    if program is None:
        assert not required, "there is no Chromium"
        pytest.skip("there is no Chromium; install one: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Tab]:
    """Return an empty page; whatever it complains of in the test is a failure, so is what it asks for."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(20_000)
    tab = Tab(page, [], [])
    page.on("console", lambda message: tab.said.append(message.text))
    page.on("pageerror", lambda error: tab.said.append(str(error)))
    page.on("dialog", lambda dialog: tab.said.append(dialog.message))
    page.on("request", lambda request: tab.asked.append(request.url))
    yield tab
    page.close()
    assert tab.said == []
    assert {url.partition(":")[0] for url in tab.asked} <= {"file", "data", "about"}
    assert len({url.partition("#")[0] for url in tab.asked if url.startswith("file:")}) <= 1


@attrs.frozen
class Reported:
    """A run and its page."""

    run: mutatenn.Run
    page: Path


@pytest.fixture(scope="session")
def campaign() -> str:
    """Return a campaign file."""
    return CAMPAIGN


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Return a finished run in two environments, and its page."""
    folder = tmp_path_factory.mktemp("browsed")
    (folder / "small.toml").write_text(CAMPAIGN)
    run = mutatenn.run(folder / "small.toml", folder / "run", workers=2)
    return Reported(run, written(run, folder))


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Return what writes the page of a run into a folder."""
    return written


def written(run: mutatenn.Run, folder: Path, **options: Any) -> Path:
    reporter = mutatenn.PluginHost.installed().get("reporter", "html")(**options)
    assert isinstance(reporter, mutatenn.Reporter)
    assert reporter.report(run, folder) == f"wrote {folder / 'report.html'}"
    return folder / "report.html"
