"""What a device promises of comparing tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mutatenn.testing.devices.bench import SHAPES, numbers, require

if TYPE_CHECKING:
    from mutatenn.testing.devices.bench import Array, Bench, Check

SIZES = (1, 2, 3, 15, 16, 17, 127, 128, 129, 1000, 5000)
"""Bytes, around every width in which a device may compare."""
PAIRS = ((0.0, -0.0), (1.0, float(np.nextafter(np.float32(1), np.float32(2)))), (np.nan, -np.nan))
"""Floats that differ in a bit; arithmetic tells most of them from each other, or not, by other rules."""


def _bits(bench: Bench) -> None:
    for size in SIZES:
        array = np.random.default_rng(size).integers(0, 256, size, np.uint8)
        for place in {0, size // 2, size - 1}:
            changed = array.copy()
            changed[place] ^= 0x80
            _compare(bench, array, changed)


def _floats(bench: Bench) -> None:
    for one, other in PAIRS:
        for place in (0, 70, 998):
            arrays = np.zeros((2, 999), np.float32)
            arrays[:, place] = one, other
            _compare(bench, arrays[0], arrays[1])


def _equals(bench: Bench) -> None:
    arrays = [numbers(shape) for shape in SHAPES]
    arrays += [np.full(999, value, np.float32) for value in (np.nan, np.inf, -0.0)]
    arrays += [np.random.default_rng(size).integers(0, 256, size, np.uint8) for size in SIZES]
    for array in arrays:
        _compare(bench, array, array.copy())


def _compare(bench: Bench, one: Array, other: Array) -> None:
    device, equal, pair = bench.device, one.tobytes() == other.tobytes(), f"{one!r} and {other!r}"
    first, second = device.upload(one), device.upload(other)
    found = device.same(first, second), device.same(second, first)
    require(found == (equal, equal), f"of {pair}, same says {found}")
    digests, sketches = ([see(first), see(second)] for see in (device.digest, device.sketch))
    require(
        all(isinstance(each, bytes) for each in digests + sketches), f"{digests}, {sketches} are no bytes"
    )
    require((digests[0] == digests[1]) is equal, f"of {pair}, digests are {digests}")
    require(not equal or sketches[0] == sketches[1], f"of {pair}, sketches are {sketches}")


def _orders(bench: Bench) -> None:
    array = np.random.default_rng(1).normal(size=4096).astype(np.float32)
    swapped = array.reshape(-1, 2)[:, ::-1].ravel()
    contents = [array, -array, array[::-1], swapped, np.roll(array, 16), np.roll(array, 1024), array * 0]
    digests = {bench.device.digest(bench.device.upload(each)) for each in contents}
    require(len(digests) == len(contents), f"{len(contents)} contents have {len(digests)} digests")


COMPARISONS: dict[str, Check] = {
    "equal tensors are the same, and have one digest and one sketch": _equals,
    "tensors that differ in a bit are not the same, and have two digests": _bits,
    "floats are compared bit for bit": _floats,
    "digests tell elements in another order or of another sign apart": _orders,
}
