"""Runs made up by hand: every state in which a reporter may find one, in no time."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import tomli_w

from mutatenn.api.baseline import Baseline
from mutatenn.api.executor import Observation
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.verdict import Status, Verdict
from mutatenn.results.planned import PlannedOperator
from mutatenn.results.run import CAMPAIGN_FILE, Run
from mutatenn.results.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from mutatenn.api.values import Category

    Plan = Mapping[str, Mapping[str, Mapping[str, Any] | None]]

CATEGORIES: dict[str, Category] = {"relu-to-sigmoid": "LN", "store-int8": "AT", "lt-to-le": "CSO"}
SECONDS = 0.001
"""That the original takes for an image."""
SILENT = PlannedOperator("gt-to-ge", "CSO", "kernel", 0, 0, 0)
"""An operator that finds no site."""
FACTS = {
    "created": "2026-01-02T03:04:05+00:00",
    "versions": {"python": "3.12.0", "mutatenn": "0.1.0"},
    "host": {"system": "Linux", "machine": "x86_64", "cpus": 2},
    "model": {
        "name": "digits",
        "path": "digits.onnx",
        "digest": "ab12",
        "input": "image float32[1x1x8x8]",
        "output": "probabilities float32[1x10]",
    },
    "oracles": {"kill": "top-1", "all": ["top-1", "max-abs"]},
}
ENVIRONMENT = {
    "backend": "llvm",
    "target": '{"kind":"llvm","keys":["cpu"],"mcpu":"znver4"}',
    "profile": "default",
    "passes": ["LegalizeOps"],
    "kernels": 12,
    "calls": 12,
    "fallback": "",
    "offline": False,
}


def made_run(
    directory: Path,
    environments: Plan,
    *,
    name: str = "by-hand",
    images: int = 10,
    began: bool = True,
    facts: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    times: Mapping[str, ArrayLike] = MappingProxyType({}),
    failures: Mapping[str, str] = MappingProxyType({}),
    **baseline: Any,
) -> Run:
    """Return a run in a new directory, open for reading.

    ``environments`` holds, per environment, the fields of each mutant's verdict by id, None for a mutant
    that has none yet. The operator is what stands before the first dot of the id. The original, whose
    ``baseline`` is green but for such fields, gives the same scores for all ten classes; where ``began`` is
    false it has not run, nor where ``failures`` tell why it cannot. ``facts`` are those of environments, such
    as ``factors``; ``times`` the original's seconds ``[repeats, images]`` in some of them.
    """
    directory.mkdir(parents=True)
    (directory / CAMPAIGN_FILE).write_text(tomli_w.dumps(_campaign(environments)))
    about = {each: ENVIRONMENT | dict(facts.get(each, {})) for each in environments}
    store = Store.create(directory)
    store.set_plan(
        [(f"{index}_a.png", index, f"{index:064x}") for index in range(images)],
        {each: (list(map(_mutant, found)), _operators(found)) for each, found in environments.items()},
        identity="by hand",
        name=name,
        environments=list(environments),
        facts={**FACTS, "environments": about},
        shards=1,
        shard_images=images,
    )
    store.set_meta("failures", dict(failures))
    ran = {name: found for name, found in environments.items() if began and name not in failures}
    for index, (environment, found) in enumerate(ran.items()):
        outputs = np.full((images, 10), 0.1 + 0.25 * index, np.float32)
        store.set_baseline(attrs.evolve(_green(environment, images), **baseline), outputs)
        for key, fields in found.items():
            if fields is not None:
                verdict = Verdict(environment, key, **fields)
                store.add_observation(environment, 0, _seen(verdict, outputs))
                store.set_verdict(verdict)
    for environment, seconds in times.items():
        store.set_times(environment, np.asarray(seconds, np.float32), {"load": 0.0, "processors": 1})
    store.close()
    return Run.open(directory)


def _campaign(environments: Iterable[str]) -> dict[str, Any]:
    return {
        "name": "by-hand",
        "model": {"path": "mutatenn:digits.onnx"},
        "dataset": {"images": ["mutatenn:digits/*.png"]},
        "environments": [{"name": each, "backend": "llvm"} for each in environments],
        "mutations": [{"operator": each} for each in (*CATEGORIES, SILENT.operator)],
        "oracles": {"kill": "top-1", "also": ["max-abs"]},
    }


def _mutant(key: str) -> Mutant:
    operator = key.partition(".")[0]
    site = Site("conv", 0, "0 < n")
    return Mutant(key, operator, CATEGORIES[operator], "kernel", "schedulable", (site,))


def _operators(keys: Iterable[str]) -> list[PlannedOperator]:
    numbers = Counter(key.partition(".")[0] for key in keys)
    found = [
        PlannedOperator(each, CATEGORIES[each], "kernel", 10, number, number)
        for each, number in numbers.items()
    ]
    return [*found, SILENT]


def _green(environment: str, images: int) -> Baseline:
    return Baseline(
        environment,
        images,
        "probabilities",
        noise=0.0,
        reference_difference=3e-7,
        reference_labels=images,
        labels=images,
        accuracy=0.9,
        seconds=SECONDS,
    )


def _seen(verdict: Verdict, original: NDArray[np.float32]) -> Observation:
    """Return what was seen of a mutant to get this verdict."""
    ran = verdict.status in {Status.KILLED, Status.SURVIVED, Status.NEVER_INFECTED, Status.UNSTABLE}
    if not ran:
        about = verdict.message, verdict.signal
        return Observation(verdict.mutant, str(verdict.status), *about)  # type: ignore[arg-type]  # an outcome
    rows = np.arange(verdict.propagated)
    infected = np.arange(len(original)) < verdict.infected
    return Observation(
        verdict.mutant,
        "ran",
        executed=len(original),
        infected=infected,
        rows=rows,
        seconds={"running": verdict.seconds, "original": SECONDS * len(original)},
        outputs=original[rows] + np.linspace(0, 0.25, original.shape[1], dtype=np.float32),
    )
