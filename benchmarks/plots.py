"""Draws the plots that README.md explains."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

GOALS = {  # line: (bound, whether smaller is better)
    "inference_vs_onnxruntime": (1.5, True),
    "inference_vs_tvm_default": (15, False),
    "campaign_vs_onnxruntime_floor": (1.5, True),
    "campaign_vs_rebuild": (40, False),
    "reuse_gain": (1.5, False),
    "second_run": (1.5, False),
    "two_workers": (1.7, False),
}
LIGHT = (2.0, True)


def draw(result: dict[str, Any], folder: Path) -> None:
    """Write ratios.png and, of campaigns, campaigns.png and trials.png; without matplotlib, say so."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plots: matplotlib is not installed (pip install --group bench)", file=sys.stderr)
        return
    mpl.use("Agg")
    _ratios(result["ratio"], folder / "ratios.png")
    if "campaigns" in result["raw"]:
        _campaigns(result, folder / "campaigns.png")
        _trials(result["raw"]["campaigns"], folder / "trials.png")


def _ratios(ratios: dict[str, float], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.4 * len(ratios) + 1.2), layout="constrained")
    for row, (name, value) in enumerate(reversed(ratios.items())):
        bound, smaller = GOALS.get(name, LIGHT if name.startswith("inference_vs_onnx") else (None, False))
        good = bound is None or (value <= bound if smaller else value >= bound)
        axes.barh(row, value, color="tab:blue" if good else "tab:red")
        if bound is not None:
            axes.plot([bound, bound], [row - 0.4, row + 0.4], color="black")
        axes.annotate(f" {value:.3g}", (value, row), va="center")
    axes.set_yticks(range(len(ratios)), list(reversed(ratios)))
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("ratio (black: the goal)")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _campaigns(result: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    seconds = {
        kind: statistics.median(run["seconds"] for run in runs)
        for kind, runs in result["raw"]["campaigns"].items()
    }
    if "rebuild_campaign_seconds" in result["figure"]:
        seconds["rebuild every mutant"] = result["figure"]["rebuild_campaign_seconds"]
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    bars = axes.barh(list(seconds), list(seconds.values()))
    axes.bar_label(bars, fmt=" %.1f s")
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_xlabel("seconds, the same campaign")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _trials(campaigns: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    for kind, runs in campaigns.items():
        axes.plot(sorted(runs[-1]["trials"], reverse=True), label=kind)
    axes.set_yscale("log")
    axes.set_xlabel("mutants, slowest first")
    axes.set_ylabel("seconds of one mutant")
    axes.legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)
