"""What a backend promises of several processes, and of several devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mutatenn.engine.isolate import call_isolated
from mutatenn.testing.devices.bench import EIGHT, equal, numbers, require

if TYPE_CHECKING:
    from mutatenn.testing.devices.bench import Array, Bench, Check


def _forked(bench: Bench) -> None:
    if not bench.backend.shares_fork:
        return
    built, array = bench.build("B[v0] = A[v0]", EIGHT, EIGHT), numbers(EIGHT.shape)
    source, result = bench.device.upload(array), bench.device.allocate(EIGHT)

    def use() -> Array:
        bench.device.launch(built, [source], [result])
        return bench.device.fetch(result)

    equal(call_isolated(use), array, "the result there")
    require(np.isnan(bench.device.fetch(result)).all(), "it is written here, too")


def _places(bench: Bench) -> None:
    if bench.backend.places is not None:
        return
    other, array = bench.backend.open(), numbers(EIGHT.shape)
    equal(other.fetch(other.upload(array)), array, "what comes down from it")
    other.close()


SHARING: dict[str, Check] = {
    "where shares_fork says so, a forked process goes on with kernels and tensors": _forked,
    "where places has no number, another device opens beside the first": _places,
}
