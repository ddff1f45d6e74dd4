"""What a device promises of the memory around tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mutatenn.api import memory
from mutatenn.testing.devices.bench import EIGHT, equal, numbers, require

if TYPE_CHECKING:
    from mutatenn.testing.devices.bench import Bench, Check

BEYOND = np.full(4, memory.GUARD_BYTE, np.uint8).view(np.float32)[0]
FURTHEST = memory.GUARD // BEYOND.nbytes  # elements


def _reads(bench: Bench) -> None:
    array = numbers(EIGHT.shape)
    for by in (3, -3, FURTHEST, -FURTHEST):
        moved = {index - by: value for index, value in enumerate(array)}
        expected = np.array([moved.get(index, BEYOND) for index in range(array.size)])
        built = bench.build(f"B[v0] = A[v0 + {by}]", EIGHT, EIGHT)
        equal(bench.run(built, [array], EIGHT)[0], expected, f"what is read {by} elements away")


def _writes(bench: Bench) -> None:
    array, device = numbers(EIGHT.shape), bench.device
    spill = bench.build(f"B[v0 * {2 * FURTHEST // 8} - {FURTHEST - 1}] = A[v0]", EIGHT, EIGHT)
    neighbours = [device.upload(array) for _ in range(3)]
    result = device.allocate(EIGHT)
    neighbours += [device.upload(array) for _ in range(3)]
    device.launch(spill, [neighbours[0]], [result])
    for each in neighbours:
        equal(device.fetch(each), array, "another tensor")
    require(np.isfinite(device.fetch(result)).sum() == 1, "of eight numbers, one is written inside")


def _renewed(bench: Bench) -> None:
    for _ in range(3):
        _writes(bench)
        _reads(bench)


GUARDS: dict[str, Check] = {
    "what is read up to a guard's length away is of the guard's bytes": _reads,
    "what is written up to a guard's length away reaches no other tensor": _writes,
    "guards are whole again around the next tensor in that memory": _renewed,
}
