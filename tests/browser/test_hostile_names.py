"""Nothing that a name says runs: names come from models, files and plugins, which are not trusted."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import mutatenn
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.verdict import Status, Verdict
from mutatenn.results.planned import PlannedOperator
from mutatenn.results.store import Store
from mutatenn.testing.runs import ENVIRONMENT, FACTS, _green, _seen

RUNS = "window.hacked = 1; alert(1)"
ATTACKS = (
    f"<img src=x onerror='{RUNS}'>",
    f"</script><script>{RUNS}</script>",
    f'" onfocus="{RUNS}" autofocus x="',
    f"{{{{ {RUNS} }}}}{{% raw %}}",
    "\x1b]0;owned\x07\u202egnp.exe\u2066",
    f"javascript:{RUNS}",
    "<!--<script>",
    "x" * 1_000_000,
)


@pytest.fixture(params=range(len(ATTACKS)))
def attacked(request: Any, tmp_path: Path) -> mutatenn.Run:
    """Return a run of which every name is an attack."""
    bad = ATTACKS[request.param]
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "campaign.toml").write_text(
        f'name = "x"\n# {bad[:1000]}\n'.replace("\x1b", "").replace("\x07", "")
    )
    store = Store.create(folder)
    mutants = [
        Mutant(
            f"{bad.replace('/', '|')[:150]}.{n}",  # it names a file
            bad,
            bad,  # type: ignore[arg-type]
            "kernel",
            "schedulable",
            (Site(bad, n, bad, (bad,)),),
            {bad: bad},
        )
        for n in range(2)
    ]
    facts = {**FACTS, "model": {**FACTS["model"], "name": bad, "path": bad}, "versions": {bad: bad}}  # type: ignore[dict-item]
    facts["environments"] = {"cpu": {**ENVIRONMENT, "backend": bad, "target": bad, "layers": [bad]}}
    names = [f"{bad}{n}.png" for n in range(3)]
    store.set_plan(
        [(name, n, f"{n:064x}") for n, name in enumerate(names)],
        {"cpu": (mutants, [PlannedOperator(bad, bad, "kernel", 2, 2, 2)])},
        identity="x",
        name=bad,
        environments=["cpu"],
        facts=facts,
        shards=1,
        shard_images=3,
    )
    outputs = np.full((3, 10), 0.1, np.float32)
    baseline = attrs.evolve(_green("cpu", 3), remarks=(bad,))
    store.set_baseline(baseline, outputs)
    killed = Verdict(
        "cpu", mutants[0].id, Status.KILLED, (bad,), 3, 1, 3, 3, {bad: 1}, killed_images=(names[0],)
    )
    survived = Verdict(
        "cpu",
        mutants[1].id,
        Status.SURVIVED,
        (),
        3,
        0,
        3,
        3,
        {bad: 1},
        oracles={bad: {"mean": 0.0, "worst": 0.0}},
        message=bad,
        memory=bad,
    )
    for verdict in (killed, survived):
        store.add_observation("cpu", 0, _seen(verdict, outputs))
        store.set_verdict(verdict)
    store.close()
    with contextlib.suppress(OSError):  # a name may be too long for a folder
        change = folder / "mutants" / mutants[1].id / "cpu"
        change.mkdir(parents=True)
        (change / "change.diff").write_text(f"@@ -1 +1 @@\n-{bad[:1000]}\n+{bad[:1000]}1\n")
    return mutatenn.open_run(folder)


def test_hostile_names_are_inert(attacked: mutatenn.Run, tab: Any, write: Any, tmp_path: Path) -> None:
    run = attrs.evolve(attacked, against=attacked, demands={"min_score": 1.0})
    path = write(run, tmp_path)
    assert path.stat().st_size < 400_000
    page = tab.open(path)
    for y in range(0, page.evaluate("document.body.scrollHeight"), 500):
        page.evaluate(f"scrollTo(0, {y})")
    page.click("#filters button[type=reset]")
    for place in range(2):
        page.locator("#list .row").nth(place).click()
        page.wait_for_selector("#detail h3")
        for summary in page.locator("details:not([open]) > summary").all():
            if summary.is_visible():
                summary.click()
    page.locator(".matrix").scroll_into_view_if_needed()
    page.wait_for_selector(".matrix canvas")
    page.locator(".matrix canvas").hover(position={"x": 2, "y": 2})
    page.locator(".heat td[data-n]").first.hover()
    assert page.evaluate("window.hacked") is None
    assert (
        page.evaluate("document.querySelectorAll('img:not(.thumbnail), iframe, object, embed').length") == 0
    )
    assert page.evaluate("document.scripts.length") == 4, "three of data, one of ours"
    assert not page.evaluate("/[\\u202a-\\u202e\\u2066-\\u2069\\u0007\\u001b]/.test(document.body.innerText)")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_the_policy_stops_what_gets_in_all_the_same(reported: Any, browser: Any) -> None:
    """Markup put in by hand: no script of it runs, and nothing is asked for."""
    page, answered = browser.new_page(), []
    page.on("response", lambda response: answered.append(response.url))
    page.on("requestfailed", lambda request: answered.append(request.failure))
    page.goto(reported.page.as_uri())
    page.wait_for_selector("html[data-ready]")
    page.evaluate(
        """() => {
          window.refused = [];
          addEventListener("securitypolicyviolation", (seen) => window.refused.push(seen.effectiveDirective));
          const markup = '<img src="https://example.com/x.png" onerror="window.hacked = 1">'
            + '<a id="bad" href="javascript:window.hacked = 1">x</a><iframe src="https://example.com"></iframe>';
          document.getElementById("detail").innerHTML = markup;
          const script = document.createElement("script");
          script.textContent = "window.hacked = 1";
          document.body.append(script);
          document.getElementById("bad").click();
          return fetch("https://example.com").catch(() => 0);
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    assert {"img-src", "script-src-elem", "connect-src", "frame-src"} <= set(page.evaluate("window.refused"))
    assert {told for told in answered if not told.startswith(("file:", "data:"))} <= {"csp"}
    page.close()
