"""Tensors and kernels on a remote processor behave as those of the LLVM backend here."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mutatenn import Kernel, TensorSpec
from mutatenn.testing import check_device
from mutatenn_backends._rpc.device import RemoteCpu
from mutatenn_backends._rpc.library import MARGIN

Make = Callable[..., Kernel]
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


def test_the_contract_of_devices_is_kept(servers: Any) -> None:
    check_device(servers.backend(servers.serve()))


def test_kernels_compute_with_half_precision(device: RemoteCpu, kernel: Make) -> None:
    array, result = np.arange(8).astype(np.float16), device.allocate(TensorSpec("t", (8,), "float16"))
    device.launch(device.build(kernel(COPY, "float16")), [device.upload(array)], [result])
    assert device.fetch(result).tobytes() == array.tobytes()


@pytest.mark.parametrize("size", [1, 2, 3, 15, 16, 17, 127, 128, 129, 1000])
def test_the_guards_are_no_part_of_the_content(device: RemoteCpu, size: int) -> None:
    array = np.random.default_rng(size).integers(0, 256, size * 4).astype(np.uint8)[: size * 4 - size % 3]
    original, again = device.upload(array), device.upload(array)
    for place in (MARGIN * 8 - 1, MARGIN * 8 + len(array)):
        everything = whole(device, again)
        everything[place] ^= 1
        again.buffer.whole.copyfrom(everything.view(np.uint64))
        assert device.same(original, again)
        assert device.digest(original) == device.digest(again)
        assert device.sketch(original) == device.sketch(again)


def test_a_sketch_sees_places_spread_over_the_tensor(device: RemoteCpu) -> None:
    array = np.zeros(3200, np.float32)
    sketches = {device.sketch(device.upload(array))}
    for part in np.split(np.arange(3200), 16):
        changed = array.copy()
        changed[part] = 1
        sketches.add(device.sketch(device.upload(changed)))
    assert len(sketches) == 17


def test_a_buffer_that_is_used_again_is_as_new(device: RemoteCpu, kernel: Make) -> None:
    spill = device.build(kernel("B[i * T.int64(3) - T.int64(4)] = A[i]"))  # into both guards
    source, seen = device.upload(np.full(8, 7, np.float32)), set()
    for _ in range(3):
        result = device.allocate(EIGHT)
        seen.add(result.buffer)
        fresh = whole(device, result)
        assert np.isnan(device.fetch(result)).all()
        device.launch(spill, [source], [result])
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


def test_what_a_kernel_raises_is_its_own_error(device: RemoteCpu, kernel: Make) -> None:
    failing = kernel('assert A[i] > T.float32(0), "no good"')
    result = device.allocate(EIGHT)
    with pytest.raises(RuntimeError, match="no good") as caught:
        device.launch(device.build(failing), [device.upload(np.zeros(8, np.float32))], [result])
    assert type(caught.value) is RuntimeError
    device.launch(device.build(kernel(COPY)), [device.upload(np.ones(8, np.float32))], [result])
    assert device.fetch(result).tolist() == [1] * 8
