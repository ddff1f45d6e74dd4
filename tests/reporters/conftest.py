"""One real run with what the terminal reporter said meanwhile, and runs made by hand for rare states."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import mutatenn
from mutatenn.api.baseline import Baseline
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.verdict import Verdict
from mutatenn.results.planned import PlannedOperator
from mutatenn.results.run import Run
from mutatenn.results.store import Store

Make = Callable[..., Run]

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
sites = [0, 3]

[[mutations]]
operator = "lt-to-le"
sites = [0, 3]

[[mutations]]
operator = "store-times-one-plus-epsilon"
sites = [0, 3]

[[mutations]]
operator = "gt-to-ge"

[oracles]
kill = "top-1"
also = ["max-abs"]
"""

CATEGORIES = {"relu-to-sigmoid": "LN", "store-int8": "AT", "lt-to-le": "CSO"}
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


@attrs.frozen
class Finished:
    run: Run
    said: str


@pytest.fixture(autouse=True)
def _no_forced_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a run in two environments, and what its reporter wrote to standard output."""
    folder = tmp_path_factory.mktemp("reported")
    (folder / "small.toml").write_text(CAMPAIGN)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run = mutatenn.run(folder / "small.toml", folder / "run", workers=1, reporters=["terminal"])
    return Finished(run, said.getvalue())


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes a run by hand.

    ``environments`` holds, per environment, the fields of each mutant's verdict by id, None for a mutant
    that has none yet. The operator is what stands before the first dot of the id.
    """

    def make(
        environments: Mapping[str, Mapping[str, Mapping[str, Any] | None]],
        *,
        name: str = "by-hand",
        images: int = 10,
        **baseline: Any,
    ) -> Run:
        directory = tmp_path / "run"
        directory.mkdir()
        store = Store.create(directory)
        store.set_plan(
            [(f"{index}_a.png", index, f"{index:064x}") for index in range(images)],
            {each: (list(map(mutant, found)), operators(found)) for each, found in environments.items()},
            identity="by hand",
            name=name,
            environments=list(environments),
            facts={**FACTS, "environments": dict.fromkeys(environments, ENVIRONMENT)},
            shards=1,
            shard_images=images,
        )
        for index, (each, found) in enumerate(environments.items()):
            outputs = np.full((images, 10), 0.1 + 0.25 * index, np.float32)
            store.set_baseline(attrs.evolve(green(each, images), **baseline), outputs)
            for key, fields in found.items():
                if fields is not None:
                    store.set_verdict(Verdict(each, key, **fields))
        store.close()
        made.append(Run.open(directory))
        return made[-1]

    made: list[Run] = []
    yield make
    for run in made:
        run._store.close()


def mutant(key: str) -> Mutant:
    operator = key.partition(".")[0]
    return Mutant(key, operator, CATEGORIES[operator], "kernel", "schedulable", (Site("conv", 0, "0 < n"),))


def operators(keys: Mapping[str, Any]) -> list[PlannedOperator]:
    numbers = Counter(key.partition(".")[0] for key in keys)
    rows = [
        PlannedOperator(each, CATEGORIES[each], "kernel", 10, number, number)
        for each, number in numbers.items()
    ]
    return [*rows, PlannedOperator("gt-to-ge", "CSO", "kernel", 0, 0, 0)]


def green(environment: str, images: int) -> Baseline:
    return Baseline(
        environment,
        images,
        "probabilities",
        noise=0.0,
        reference_difference=3e-7,
        reference_labels=images,
        labels=images,
        accuracy=0.9,
        seconds=0.001,
    )
