"""Stryker's own page shows our report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npm import npm_file

import mutatenn


def test_strykers_page(reported: Any, browser: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "mutation-test-elements.js"
    bundle.write_bytes(npm_file("mutation-testing-elements", "dist/mutation-test-elements.js"))
    reporter = mutatenn.PluginHost.installed().get("reporter", "elements")(bundle=str(bundle))
    assert isinstance(reporter, mutatenn.Reporter)
    said = reporter.report(reported.run, tmp_path)
    assert said.splitlines() == [f"wrote {tmp_path / name}" for name in ("mutation.json", "mutation.html")]
    page, problems, asked = browser.new_page(), [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "mutation.html").as_uri())
    detected, valid = (
        sum(getattr(reported.run.score(name), key) for name in reported.run.environments)
        for key in ("detected", "valid")
    )
    share = f"{100 * detected / valid:.2f}"
    page.get_by_text(share).first.wait_for()
    for name in reported.run.environments:
        assert page.get_by_role("link", name=name, exact=True).is_visible()
    page.goto(f"{(tmp_path / 'mutation.html').as_uri()}#mutant/cpu/graph/main.py")
    page.get_by_text("R.nn.relu").first.wait_for()
    assert problems == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    page.close()
