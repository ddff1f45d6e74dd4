"""Tensors and kernels on a remote processor behave as those of the LLVM backend here."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mutatenn import BuildError, Kernel, TensorSpec, ir
from mutatenn.api.memory import GUARD, GUARD_BYTE
from mutatenn_backends._rpc.device import RemoteCpu
from mutatenn_backends._rpc.library import MARGIN
from mutatenn_backends.llvm import Llvm

Make = Callable[..., Kernel]
DTYPES = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"]
SHAPES = [(), (1,), (0, 3), (3, 5), (1, 2, 3, 4)]
COPY = "B[i] = A[i]"
EIGHT = TensorSpec("t", (8,))


@pytest.fixture(scope="module")
def device(servers: Any, supervised: Any) -> Iterator[RemoteCpu]:
    opened = servers.backend(supervised).open()
    yield opened
    opened.close()


def whole(device: RemoteCpu, tensor: Any) -> Any:
    """Return all bytes of a tensor's buffer."""
    return tensor.buffer.whole.numpy().view(np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_new_tensor_is_poisoned_between_guards(
    device: RemoteCpu, dtype: str, shape: tuple[int, ...]
) -> None:
    tensor = device.allocate(TensorSpec("t", shape, dtype))
    content, expected = device.fetch(tensor), Llvm().open().allocate(TensorSpec("t", shape, dtype))
    assert (content.shape, content.dtype) == (shape, np.dtype(dtype))
    assert content.tobytes() == expected.array.tobytes()
    everything = whole(device, tensor)
    assert set(everything[:GUARD].tolist()) == {GUARD_BYTE}
    assert set(everything[GUARD + content.nbytes :].tolist()) == {GUARD_BYTE}
    assert len(everything) - content.nbytes >= 2 * GUARD


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_goes_up_comes_down(device: RemoteCpu, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    tensor = device.upload(array)
    content = device.fetch(tensor)
    assert (content.shape, content.dtype) == (shape, np.dtype(dtype))
    assert content.tobytes() == array.tobytes()
    assert device.same(tensor, device.upload(array))


def test_arrays_of_any_layout_go_up(device: RemoteCpu) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for view in (array.transpose(2, 0, 1), array[:, ::2, ::-1], np.broadcast_to(array[:, :1], (2, 3, 4))):
        np.testing.assert_array_equal(device.fetch(device.upload(view)), view)


@pytest.mark.parametrize("size", [1, 2, 3, 15, 16, 17, 127, 128, 129, 1000])
def test_each_bit_of_the_content_counts_and_no_other(device: RemoteCpu, size: int) -> None:
    """Flip a bit in each kind of place: first, last, middle, the odd end, a byte of either guard."""
    array = np.random.default_rng(size).integers(0, 256, size * 4).astype(np.uint8)[: size * 4 - size % 3]
    original = device.upload(array)
    digests = {device.digest(original)}
    for place in {0, len(array) // 2, len(array) - 1}:
        changed = array.copy()
        changed[place] ^= 0x80
        other = device.upload(changed)
        assert not device.same(original, other)
        digests.add(device.digest(other))
    assert len(digests) == 1 + len({0, len(array) // 2, len(array) - 1})
    again = device.upload(array)
    for place in (MARGIN * 8 - 1, MARGIN * 8 + len(array)):
        everything = whole(device, again)
        everything[place] ^= 1
        again.buffer.whole.copyfrom(everything.view(np.uint64))
        assert device.same(original, again)
        assert device.digest(original) == device.digest(again)
        assert device.sketch(original) == device.sketch(again)


def test_digests_tell_changes_of_many_places_apart(device: RemoteCpu) -> None:
    array = np.random.default_rng(1).normal(size=4096).astype(np.float32)
    swapped = array.reshape(-1, 2)[:, ::-1].ravel()
    changes = [array, -array, array[::-1], swapped, np.roll(array, 16), np.roll(array, 1024), array * 0]
    digests = [device.digest(device.upload(each)) for each in changes]
    assert len(set(digests)) == len(changes)


@pytest.mark.parametrize(
    ("one", "other"), [(0.0, -0.0), (np.nan, -np.nan), (1.0, np.nextafter(1, 2, dtype="f4"))]
)
def test_same_is_bit_for_bit(device: RemoteCpu, one: float, other: float) -> None:
    for index in (0, 70, 998):
        arrays = np.zeros((2, 999), np.float32)
        arrays[0, index], arrays[1, index] = one, other
        first, second = device.upload(arrays[0]), device.upload(arrays[1])
        assert not device.same(first, second)
        assert device.same(first, device.upload(arrays[0]))


def test_a_sketch_sees_places_spread_over_the_tensor(device: RemoteCpu) -> None:
    array = np.zeros(3200, np.float32)
    sketches = {device.sketch(device.upload(array))}
    for part in np.split(np.arange(3200), 16):
        changed = array.copy()
        changed[part] = 1
        sketches.add(device.sketch(device.upload(changed)))
    assert len(sketches) == 17


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "float16"])
def test_kernels_read_and_write_the_tensors(device: RemoteCpu, kernel: Make, dtype: str) -> None:
    array = np.array([0, 1, 1, 0, 1, 0, 0, 1]).astype(dtype)
    source, result = device.upload(array), device.allocate(TensorSpec("t", (8,), dtype))
    device.launch(device.build(kernel(COPY, dtype)), [source, result])
    assert device.fetch(result).tobytes() == array.tobytes()
    assert device.same(source, result)


@pytest.mark.parametrize("by", [3, -3, 900, -900])
def test_a_read_out_of_bounds_sees_what_it_sees_here(device: RemoteCpu, kernel: Make, by: int) -> None:
    shift, here = kernel(f"B[i] = A[i + T.int64({by})]"), Llvm().open()
    fetched = []
    for each in (device, here):
        arguments: list[Any] = [each.upload(np.arange(8, dtype=np.float32)), each.allocate(EIGHT)]
        each.launch(each.build(shift), arguments)
        fetched.append(each.fetch(arguments[1]).tobytes())
    assert fetched[0] == fetched[1]


def test_a_buffer_that_is_used_again_is_as_new(device: RemoteCpu, kernel: Make) -> None:
    spill = device.build(kernel("B[i * T.int64(3) - T.int64(4)] = A[i]"))  # into both guards
    source, seen = device.upload(np.full(8, 7, np.float32)), set()
    for _ in range(3):
        result = device.allocate(EIGHT)
        seen.add(result.buffer)
        fresh = whole(device, result)
        assert np.isnan(device.fetch(result)).all()
        device.launch(spill, [source, result])
        assert fresh.tobytes() != whole(device, result).tobytes()
        del result
        gc.collect()
    assert len(seen) == 1


def test_tensors_that_live_share_no_memory(device: RemoteCpu) -> None:
    tensors = [device.allocate(EIGHT) for _ in range(5)]
    tensors += [device.upload(np.zeros(8, np.float32)) for _ in range(5)]
    addresses = [device._address(each.buffer.words, each.buffer.whole).value for each in tensors]
    ends = [address + 8 * each.buffer.words for address, each in zip(addresses, tensors, strict=True)]
    spans = sorted(zip(addresses, ends, strict=True))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@pytest.mark.parametrize("wrong", [np.zeros(9, np.float32), np.zeros(8, np.float64)])
def test_wrong_arguments_are_this_engines_mistake(device: RemoteCpu, kernel: Make, wrong: Any) -> None:
    result = device.allocate(EIGHT)
    with pytest.raises(ValueError, match="argument #0"):
        device.launch(device.build(kernel(COPY)), [device.upload(wrong), result])
    assert np.isnan(device.fetch(result)).all()


def test_what_a_kernel_raises_is_its_own_error(device: RemoteCpu, kernel: Make) -> None:
    failing = kernel('assert A[i] > T.float32(0), "no good"')
    result = device.allocate(EIGHT)
    with pytest.raises(RuntimeError, match="no good") as caught:
        device.launch(device.build(failing), [device.upload(np.zeros(8, np.float32)), result])
    assert type(caught.value) is RuntimeError
    device.launch(device.build(kernel(COPY)), [device.upload(np.ones(8, np.float32)), result])
    assert device.fetch(result).tolist() == [1] * 8


def test_the_compilers_refusal_is_a_build_error(device: RemoteCpu, kernel: Make) -> None:
    good = kernel(COPY)
    stranger = ir.tirx.Var("nowhere", "float32")
    body = ir.ffi.structural_map(
        good.ir.body,
        (ir.tirx.BufferStore, lambda node: ir.tirx.BufferStore(node.buffer, stranger, node.indices)),
        order="post",
    )
    with pytest.raises(BuildError, match="nowhere"):
        device.build(Kernel("e" * 32, "broken", good.ir.with_body(body)))
