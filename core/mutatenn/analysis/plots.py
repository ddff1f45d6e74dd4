"""Pictures of a run, drawn with matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.analysis.colours import STATUS_COLOURS
from mutatenn.analysis.environments.comparison import compare
from mutatenn.analysis.images.kill_matrix import kill_matrix
from mutatenn.analysis.images.worth import worth
from mutatenn.analysis.mutant.trace import trace
from mutatenn.analysis.picture import Picture, cut, framed, plain_numbers
from mutatenn.api.verdict import Status
from mutatenn.errors import InputError
from mutatenn.host.plugin_host import PluginHost
from mutatenn.nearest import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mutatenn.analysis.mutant.trace import Trace
    from mutatenn.results.run import Run

ROWS, COLUMNS = 60, 120
"""Operators and layers that a picture has room for."""
NO_VALID = "#e6e6e6"


@attrs.frozen
class Plots:
    """Pictures of a run: ``run.plot.scores()``; each is of the first environment, or the one that is named.

    All raise InputError where matplotlib is not installed, and for an environment that does not exist.
    """

    _run: Run

    def scores(self, environment: str | None = None) -> Picture:
        """Draw how the mutants of each operator ended, and its score."""
        name = self._environment(environment)
        scores = {key: score for key, score in self._run.scores(name).items() if score.judged}
        rows = list(scores.items())[:ROWS]
        figure, axes = framed(7.5, 2.4 + 0.24 * len(rows), f"{self._run.name}, {name}: mutants by operator")
        counts = [score.counts for _, score in rows]
        _stacked(axes, counts)
        for place, (_, score) in enumerate(rows):
            told = f"{score.value:.2f}" if score.valid else "-"
            axes.text(1.01, place, told, transform=axes.get_yaxis_transform(), va="center")
        axes.text(1.01, -1, "score", transform=axes.get_yaxis_transform(), va="center", weight="bold")
        axes.set_yticks(range(len(rows)), [cut(key) for key, _ in rows])
        axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
        axes.set_xlabel("mutants")
        return Picture(figure)

    def layers(self, environment: str | None = None) -> Picture:
        """Draw the share of faults that was detected, by operator and layer, in the network's order."""
        name = self._environment(environment)
        found: dict[str, dict[str, list[Status]]] = {}
        places = {each.layers: place for place, each in enumerate(self._run.layer_scores(name))}
        for record in self._run.records():
            verdict, layers = record.verdicts.get(name), record.mutant.layers
            if verdict and layers in places:
                found.setdefault(record.operator, {}).setdefault(", ".join(layers), []).append(verdict.status)
        columns = [", ".join(layers) for layers in places][:COLUMNS]
        rows = list(found)[:ROWS]
        values = np.full((max(1, len(rows)), max(1, len(columns))), np.nan)
        nothing = np.zeros(values.shape, bool)
        for row, operator in enumerate(rows):
            for column, layer in enumerate(columns):
                ends = found[operator].get(layer, [])
                valid = [status for status in ends if status.valid]
                nothing[row, column] = bool(ends) and not valid
                if valid:
                    values[row, column] = sum(status.detected for status in valid) / len(valid)
        size = 4.5 + 0.17 * len(columns), 4.0 + 0.2 * len(rows)
        figure, axes = framed(*size, f"{self._run.name}, {name}: share of faults detected")
        image = axes.imshow(values, cmap=_shades(), vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        for row, column in np.argwhere(nothing):
            axes.text(column, row, "·", ha="center", va="center")
        axes.set_yticks(range(len(rows)), [cut(each) for each in rows])
        axes.set_xticks(range(len(columns)), [cut(each) for each in columns], rotation=90, fontsize=7)
        figure.colorbar(image, ax=axes, label="detected of valid", fraction=0.03)
        return Picture(figure)

    def images(self, environment: str | None = None) -> Picture:
        """Draw how many mutants each image kills, and how few images kill all that any of them does."""
        name = self._environment(environment)
        found = worth(kill_matrix(self._run, name))
        figure, axes = framed(7.5, 3.4, f"{self._run.name}, {name}: what the images are worth")
        kills = list(found.kills.values())
        axes.bar(
            range(1, len(kills) + 1),
            kills,
            width=1.0,
            color="#9ecae1",
            label="kills of each image, most first",
        )
        needed = list(found.needed.values())
        if needed:
            smallest = f"kills of the {len(needed)} images that are needed"
            axes.step(range(1, len(needed) + 1), needed, where="mid", color="#b03a00", label=smallest)
            axes.plot(len(needed), needed[-1], "o", color="#b03a00")
        axes.set_xlabel("images")
        axes.set_ylabel("mutants killed")
        axes.legend(frameon=False)
        return Picture(figure)

    def times(self, environment: str | None = None) -> Picture:
        """Draw how long the mutants of each operator took, building and running, in seconds."""
        name = self._environment(environment)
        found: dict[str, list[float]] = {}
        for record in self._run.records():
            if (verdict := record.verdicts.get(name)) and verdict.seconds > 0:
                found.setdefault(record.operator, []).append(verdict.seconds)
        rows = list(found.items())[:ROWS]
        figure, axes = framed(7.5, 1.6 + 0.24 * len(rows), f"{self._run.name}, {name}: seconds of a mutant")
        if rows:
            axes.boxplot(
                [each for _, each in rows], orientation="horizontal", widths=0.6, flierprops={"markersize": 3}
            )
            axes.set_yticks(range(1, len(rows) + 1), [cut(key) for key, _ in rows])
            axes.set_ylim(len(rows) + 0.5, 0.5)
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
        axes.set_xlabel("seconds, building and running on all images")
        return Picture(figure)

    def environments(self) -> Picture:
        """Draw how the mutants ended in each environment."""
        names = [name for name in self._run.environments if self._run.mutants_of(name)]
        title = f"{self._run.name}: mutants by environment"
        if len(names) > 1:
            title += f"; {compare([self._run], oracles={}).divergences.total()} did not end alike"
        figure, axes = framed(7.5, 2.4 + 0.3 * len(names), title)
        _stacked(axes, [self._run.score(name).counts for name in names])
        axes.set_yticks(range(len(names)), [cut(name) for name in names])
        axes.set_ylim(max(1, len(names)) - 0.5, -0.5)
        axes.set_xlabel("mutants")
        return Picture(figure)

    def errors(
        self,
        mutant: str,
        environment: str | None = None,
        *,
        image: str | None = None,
        host: PluginHost | None = None,
    ) -> Picture:
        """Run a mutant again on one image, and draw how its error grows along the network.

        The error of each result is its largest absolute difference to the original's, over the original's
        largest absolute value. Raises as :func:`mutatenn.trace` does.
        """
        name = self._environment(environment)
        record = self._run.mutant(mutant)
        found = trace(self._run, record.id, name, image, host or PluginHost.installed())
        return _growth(found)

    def _environment(self, name: str | None) -> str:
        names = self._run.environments
        if name is None:
            return next((each for each in names if self._run.mutants_of(each)), names[0])
        if name not in names:
            raise InputError(unknown_name("environment", name, names))
        return name


def _growth(found: Trace) -> Picture:
    hops = [hop for hop in found.hops if hop.relative is not None]
    figure, axes = framed(8, 4.6, f"{found.mutant}\non {found.image} in {found.environment}")
    errors = [hop.relative if hop.relative and math.isfinite(hop.relative) else math.nan for hop in hops]
    axes.plot(range(len(hops)), errors, "o-", markersize=3, color="#0072b2")
    for place, hop in enumerate(hops):
        if hop.mutated:
            axes.axvline(place, color="#b03a00", linewidth=1, linestyle="--")
    if any(error > 0 for error in errors):
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
    axes.set_ylabel("largest error, relative")
    names = [cut(hop.layers[-1] if hop.layers else hop.kernel) for hop in hops]
    step = max(1, len(names) // 40)
    axes.set_xticks(range(0, len(names), step), names[::step], rotation=90, fontsize=7)
    labels = f"label {found.original_label}"
    if found.mutant_label != found.original_label:
        labels = f"label {found.mutant_label} instead of {found.original_label}"
    axes.set_xlabel(f"results in order; dashed: the changed code; at the end: {labels}")
    return Picture(figure)


def _stacked(axes: Any, rows: Sequence[Mapping[Status, int]]) -> None:
    """Draw counts by status as bars, with a legend of those that occur."""
    left = np.zeros(len(rows))
    for status in Status:
        numbers = np.array([row.get(status, 0) for row in rows], float)
        if numbers.any():
            colour = STATUS_COLOURS[status][0]
            axes.barh(
                range(len(rows)), numbers, left=left, color=colour, edgecolor="#888", linewidth=0.4,
                label=status.replace("-", " "),
            )  # fmt: skip
            left += numbers
    if left.any():
        axes.figure.legend(loc="outside lower left", ncols=5, frameon=False)


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    ends = [STATUS_COLOURS[status][0] for status in (Status.SURVIVED, Status.KILLED)]
    return LinearSegmentedColormap.from_list("detected", ends).with_extremes(bad=NO_VALID)
