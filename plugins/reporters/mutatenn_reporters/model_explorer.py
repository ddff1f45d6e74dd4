"""The model-explorer reporter: what became of faults, layer by layer, as an overlay of the network."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn import MutationScore, Reporter, Status, hookimpl
from mutatenn_reporters._endings import endings
from mutatenn_reporters._writing import write

if TYPE_CHECKING:
    from mutatenn import Run

BETTER = [{"stop": 0, "bgColor": "#f5e663"}, {"stop": 1, "bgColor": "#0072b2"}]
WORSE = [{"stop": 0, "bgColor": "#ffffff"}, {"stop": 1, "bgColor": "#b03a00"}]
METRICS: dict[str, list[dict[str, Any]]] = {"score": BETTER, "survivors": WORSE, "error": WORSE}
"""The files, and their colours."""


@attrs.define(kw_only=True, eq=False)
class ModelExplorer(Reporter):
    """Writes node data for Google's Model Explorer, a file for each environment and metric.

    ``score`` is the mutation score of the faults in a layer, ``survivors`` how many survived, ``error`` the
    largest absolute change of an output score by one of them. Keys are the names of ONNX outputs, where the
    model is an ONNX file, else of layers. Open a network with
    ``model-explorer net.onnx --node_data model-explorer-cpu-score.json``.
    """

    name: ClassVar[str] = "model-explorer"

    def report(self, run: Run, directory: Path) -> str:
        """Write ``model-explorer-ENVIRONMENT-METRIC.json`` into the directory; return where the files are.

        Raises InputError if one cannot be written.
        """
        keys = _keys(run)
        lines = []
        for environment in run.environments:
            layers = _layers(run, environment)
            for metric, gradient in METRICS.items():
                values = {keys.get(name, name): found[metric] for name, found in layers.items()}
                results = {name: {"value": value} for name, value in values.items() if value is not None}
                document = {"results": results, "gradient": gradient}
                path = directory / f"model-explorer-{environment}-{metric}.json"
                lines.append(write(path, json.dumps(document, indent=1) + "\n"))
        return "\n".join(lines)


def _layers(run: Run, environment: str) -> dict[str, dict[str, float | None]]:
    """Return the metrics by layer, in the order of the network."""
    known = run.facts.get("environments", {}).get(environment, {}).get("layers", ())
    ends: dict[str, list[Status]] = {name: [] for name in known}
    errors: dict[str, float] = {}
    for each in endings(run, environment):
        if each.verdict is None:
            continue
        for name in each.record.mutant.layers:
            ends.setdefault(name, []).append(each.verdict.status)
            worst = each.verdict.oracles.get("max-abs", {}).get("worst")
            errors[name] = max(errors.get(name, 0.0), worst or 0.0)
    return {name: _metrics(found, errors.get(name)) for name, found in ends.items() if found}


def _metrics(found: list[Status], error: float | None) -> dict[str, float | None]:
    score = MutationScore.of(found)
    return {
        "score": None if math.isnan(score.value) else round(score.value, 4),
        "survivors": float(score.counts[Status.SURVIVED]),
        "error": error,
    }


def _keys(run: Run) -> dict[str, str]:
    """Return the first output of every node of an ONNX file by the node's name; none of other models."""
    path = Path(str(run.facts.get("model", {}).get("path", "")))
    if path.suffix != ".onnx" or not path.is_file():
        return {}
    import onnx

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception:  # protobuf and the file system raise many kinds for a file that is none
        return {}
    return {node.name: node.output[0] for node in graph.node if node.name and node.output}


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``model-explorer``."""
    return [ModelExplorer]
