"""Measures the page of a made-up run: how long it takes to write, its size, how fast a browser shows it.

Prints ``figure NAME VALUE`` lines. What a browser does is left out where there is no Chromium.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import tomli_w

import mutatenn
from mutatenn.api.baseline import Baseline
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.verdict import Status, Verdict
from mutatenn.results.codec import text_of
from mutatenn.results.planned import PlannedOperator
from mutatenn.results.store import Store
from mutatenn.testing.runs import ENVIRONMENT, FACTS

CLASSES = 10
OPERATORS, LAYERS = 40, 60
ENDS = (Status.KILLED, Status.SURVIVED, Status.NEVER_INFECTED, Status.EQUIVALENT)
SHARES = (0.6, 0.3, 0.05, 0.05)
MESSAGE = "T_add_intermediate[v_ax0, v_ax1, v_ax2] = conv2d_nchw_intermediate[v_ax0, v_ax1, v_ax2]"


def made_up(directory: Path, mutants: int, images: int, seed: int = 0) -> mutatenn.Run:
    """Return a run in which every killed mutant is killed by images of its own: nothing collapses."""
    draw = np.random.default_rng(seed)
    names = [f"{index % CLASSES}_{index:05}.png" for index in range(images)]
    layers = [f"block{index // 4}/conv{index % 4}" for index in range(LAYERS)]
    planned = [_mutant(index, layers) for index in range(mutants)]
    directory.mkdir(parents=True)
    (directory / "campaign.toml").write_text(
        tomli_w.dumps({"name": "large", "dataset": {"images": "none/*"}})
    )
    store = Store.create(directory)
    each = mutants // OPERATORS
    store.set_plan(
        [(name, index % CLASSES, f"{index:064x}") for index, name in enumerate(names)],
        {
            "cpu": (
                planned,
                [
                    PlannedOperator(f"operator-{n}", "AT", "kernel", each, each, each)
                    for n in range(OPERATORS)
                ],
            )
        },
        identity="made up",
        name="large",
        environments=["cpu"],
        facts={**FACTS, "environments": {"cpu": ENVIRONMENT | {"layers": layers}}},
        shards=1,
        shard_images=images,
    )
    store.set_baseline(
        Baseline("cpu", images, "probabilities", 0.0, 3e-7, images, images, accuracy=0.9, seconds=0.001),
        draw.random((images, CLASSES), np.float32),
    )
    ends = draw.choice(len(ENDS), mutants, p=SHARES)
    rows = []
    for mutant, end in zip(planned, ends, strict=True):
        status, killed = ENDS[end], ()
        if status == Status.KILLED:
            killed = tuple(names[index] for index in np.flatnonzero(draw.random(images) < draw.random() ** 2))
            killed = killed or (names[0],)
        verdict = Verdict(
            "cpu",
            mutant.id,
            status,
            ("top-1",) if killed else (),
            images,
            len(killed),
            images,
            images // 2,
            {"fused_relu": images // 2},
            killed_images=killed,
            oracles={"max-abs": {"mean": 0.01, "worst": float(draw.random())}},
            seconds=0.05,
            program=mutant.id,
        )
        rows.append(("cpu", mutant.id, status, text_of(verdict)))
    with store._db:
        store._db.executemany("INSERT INTO verdicts VALUES (?, ?, ?, ?)", rows)
    store.close()
    return mutatenn.open_run(directory)


def _mutant(index: int, layers: list[str]) -> Mutant:
    operator = f"operator-{index % OPERATORS}"
    layer = layers[index % LAYERS]
    unit = f"fused_conv2d{index % 200}_add_relu"
    site = Site(unit, index // 200, f"{MESSAGE} + param_{index % 7}[v_ax1]", (layer,))
    return Mutant(
        f"{operator}.{unit}.{index // 200}.{index * 2654435761 % 2**32:08x}",
        operator,
        "AT",
        "kernel",
        "schedulable",
        (site,),
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=1000)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        run = made_up(folder / "run", args.mutants, args.images)
        reporter = mutatenn.PluginHost.installed().get("reporter", "html")()
        start = time.perf_counter()
        reporter.report(run, folder)
        print(f"figure write_seconds {time.perf_counter() - start:.1f}")
        print(f"figure peak_mib {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")
        page = folder / "report.html"
        print(f"figure page_mb {page.stat().st_size / 1e6:.1f}", flush=True)
        browse(page)
    finally:
        shutil.rmtree(folder)


def browse(page: Path) -> None:
    """Print what a browser needs for the page."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium: what a browser needs is not measured")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="commit")
        tab.wait_for_selector("html[data-ready]", timeout=120_000)
        print(f"figure ready_seconds {time.perf_counter() - start:.2f}")
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        print(f"figure first_paint_seconds {tab.evaluate(paint) / 1000:.2f}")
        for name, change in FILTERS.items():
            took = tab.evaluate(MEASURE, change)
            print(f"figure {name}_seconds {took / 1000:.3f}")
        took = tab.evaluate(DRAW)
        print(f"figure matrix_seconds {took / 1000:.2f}")
        browser.close()


FILTERS = {
    "filter_status": ["button[data-status=killed]", "click", ""],
    "filter_operator": ["#operator", "change", "operator-3"],
    "filter_text_first": ["#text", "input", "param_3"],
    "filter_text": ["#text", "input", "block4/conv2 param_3"],
    "filter_none": ["#filters", "reset", ""],
}
MEASURE = """async ([selector, kind, value]) => {
  const found = document.querySelector(selector), told = document.getElementById("found");
  const before = told.textContent, start = performance.now();
  if (value) found.value = value;
  if (kind === "click") found.click(); else found.dispatchEvent(new Event(kind, { cancelable: true }));
  while (told.textContent === before) await new Promise((done) => setTimeout(done, 1));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  return performance.now() - start;
}"""
DRAW = """async () => {
  const start = performance.now();
  document.querySelector(".matrix").scrollIntoView();
  while (!document.querySelector(".matrix canvas")) await new Promise((done) => setTimeout(done, 5));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  return performance.now() - start;
}"""

if __name__ == "__main__":
    main()
