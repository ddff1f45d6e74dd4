"""Guards, poison and the two contents of memory agree with each other."""

from __future__ import annotations

import numpy as np
import pytest

from mutatenn import TensorSpec
from mutatenn.api.memory import FIRST, GUARD, GUARD_BYTE, SECOND, between_guards, poison, sketched

DTYPES = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_poison_is_the_dtypes_own(dtype: str) -> None:
    value = poison(np.dtype(dtype))
    assert value.dtype == dtype
    plain = {"f": np.isnan(value), "b": bool(value)}
    assert plain.get(value.dtype.kind, value == np.iinfo(dtype).max if value.dtype.kind in "iu" else None)


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("alignment", [1, 64, 4096])
def test_content_is_aligned_between_whole_guards(size: int, alignment: int) -> None:
    whole, content = between_guards(size, alignment)
    start = content.ctypes.data - whole.ctypes.data
    assert content.size == size
    assert content.ctypes.data % alignment == 0
    assert min(start, whole.size - start - size) >= GUARD
    content[:] = 0
    assert set(whole[:start].tolist()) | set(whole[start + size :].tolist()) == {GUARD_BYTE}


def test_without_content_there_are_only_guards() -> None:
    whole, content = between_guards(0, 64)
    assert content.size == 0
    assert whole.size >= 2 * GUARD
    assert set(whole.tolist()) == {GUARD_BYTE}


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 3200])
def test_a_sketch_is_a_view_of_few_elements(size: int) -> None:
    elements = np.arange(size)
    sketch = sketched(elements)
    assert min(size, 8) <= len(sketch) <= 16
    elements += 1
    assert set(sketch.tolist()) <= set(elements.tolist())


@pytest.mark.parametrize("dtype", [each for each in DTYPES if each != "bool"])
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (5, 7)])
def test_the_two_contents_differ_in_every_element(dtype: str, shape: tuple[int, ...]) -> None:
    first, second = (each.unwritten(TensorSpec("t", shape, dtype)) for each in (FIRST, SECOND))
    assert first.shape == second.shape == shape
    assert first.dtype == second.dtype == dtype
    bits = [each.reshape(-1, 1).view(np.uint8) for each in (first, second)]
    assert (bits[0] != bits[1]).any(axis=1).all()


def test_the_first_content_is_that_of_devices() -> None:
    floats = FIRST.unwritten(TensorSpec("t", (4,)))
    assert np.isnan(floats).all()
    assert FIRST.unwritten(TensorSpec("t", (4,), "int32")).tolist() == [poison(np.dtype("int32"))] * 4
    assert FIRST.words(3).view(np.uint8)[:4].tolist() == [GUARD_BYTE] * 4
    assert FIRST.words(3).tolist()[1:] == [2**31 - 1, 0, 0, 0]
