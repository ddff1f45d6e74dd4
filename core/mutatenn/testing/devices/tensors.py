"""What a device promises of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mutatenn.api import memory
from mutatenn.api.values import TensorSpec
from mutatenn.testing.devices.bench import DTYPES, EIGHT, SHAPES, equal, numbers, require

if TYPE_CHECKING:
    from mutatenn.testing.devices.bench import Bench, Check


def _roundtrip(bench: Bench) -> None:
    cube = numbers((2, 3, 4))
    arrays = [numbers(shape, dtype) for shape in SHAPES for dtype in DTYPES]
    arrays += [cube.transpose(2, 0, 1), cube[:, ::2, ::-1], np.broadcast_to(cube[:, :1], (2, 3, 4))]
    for array in arrays:
        equal(bench.device.fetch(bench.device.upload(array)), array, "what comes down")


def _copies(bench: Bench) -> None:
    array = np.zeros(4, np.float32)
    tensor = bench.device.upload(array)
    array.fill(1)
    bench.device.fetch(tensor).fill(2)
    equal(bench.device.fetch(tensor), np.zeros(4, np.float32), "it")


def _poison(bench: Bench) -> None:
    for spec in (TensorSpec("t", shape, dtype) for shape in SHAPES for dtype in DTYPES):
        poisoned = np.full(spec.shape, memory.poison(np.dtype(spec.dtype)))
        equal(bench.device.fetch(bench.device.allocate(spec)), poisoned, spec)


def _without_poison(bench: Bench) -> None:
    for spec in (TensorSpec("t", shape, dtype) for shape in SHAPES for dtype in DTYPES):
        found = bench.device.fetch(bench.device.allocate(spec, poison=False))
        require((found.shape, found.dtype) == (spec.shape, np.dtype(spec.dtype)), f"{spec} is {found!r}")


def _poison_again(bench: Bench) -> None:
    for _ in range(3):
        tensor = bench.device.upload(numbers(EIGHT.shape))
        del tensor
        found = bench.device.fetch(bench.device.allocate(EIGHT))
        require(np.isnan(found).all(), f"it is {found!r}")


TENSORS: dict[str, Check] = {
    "what is uploaded, in any layout, is fetched in its shape, dtype and bytes": _roundtrip,
    "upload and fetch copy": _copies,
    "a new tensor has its shape and dtype, and is full of the dtype's poison": _poison,
    "a tensor without poison has its shape and dtype": _without_poison,
    "a tensor in the memory of one that is gone is poisoned": _poison_again,
}
