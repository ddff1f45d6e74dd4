"""What a device promises of kernels, and of its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.api.program import Kernel
from mutatenn.api.values import TensorSpec
from mutatenn.compiler import ir
from mutatenn.errors import BuildError
from mutatenn.testing.devices.bench import COMPUTED, EIGHT, SHAPES, equal, numbers, require

if TYPE_CHECKING:
    from mutatenn.testing.devices.bench import Bench, Check

PAIR = (EIGHT, EIGHT)
COPY = "B[v0] = A[v0]"


def _copy(bench: Bench) -> None:
    specs = [TensorSpec("t", EIGHT.shape, dtype) for dtype in COMPUTED]
    specs += [TensorSpec("t", shape) for shape in SHAPES if shape and 0 not in shape]
    for spec in specs:
        index = ", ".join(f"v{number}" for number in range(len(spec.shape)))
        built = bench.build(f"B[{index}] = A[{index}]", spec, spec, axes=spec.shape)
        array = numbers(spec.shape, spec.dtype)
        source, result = bench.device.upload(array), bench.device.allocate(spec)
        bench.device.launch(built, [source], [result])
        equal(bench.device.fetch(result), array, f"the result {spec}")
        equal(bench.device.fetch(source), array, f"the argument {spec}")
        require(bench.device.same(source, result), f"{spec} and its copy are not the same")


def _order(bench: Bench) -> None:
    built = bench.build("C[v0] = A[v0] - B[v0]\nD[v0] = B[v0] * T.float32(3)", *PAIR, *PAIR)
    one, other = np.arange(8, dtype=np.float32), np.full(8, 5, np.float32)
    difference, product = bench.run(built, [one, other], *PAIR)
    equal(difference, one - other, "the first result")
    equal(product, other * 3, "the second result")


def _small_arguments(bench: Bench) -> None:
    scalar, empty = TensorSpec("t", ()), TensorSpec("t", (0,))
    built = bench.build("C[v0] = A[()] + T.float32(1)", scalar, empty, EIGHT)
    (found,) = bench.run(built, [np.array(2, np.float32), np.zeros(0, np.float32)], EIGHT)
    equal(found, np.full(EIGHT.shape, 3, np.float32), "the result")


def _again(bench: Bench) -> None:
    built, result = bench.build("B[v0] = A[v0] + T.float32(1)", *PAIR), bench.device.allocate(EIGHT)
    for number in range(3):
        array = np.full(EIGHT.shape, number, np.float32)
        bench.device.launch(built, [bench.device.upload(array)], [result])
        equal(bench.device.fetch(result), array + 1, f"the result of launch {number}")


def _unwritten(bench: Bench) -> None:
    built = bench.build(COPY, *PAIR, axes=(5,))
    (found,) = bench.run(built, [numbers(EIGHT.shape)], EIGHT)
    require(np.isnan(found).tolist() == [False] * 5 + [True] * 3, f"of 5 of 8 elements it is {found!r}")


def _misfits(bench: Bench) -> None:
    built, result = bench.build(COPY, *PAIR), bench.device.allocate(EIGHT)
    for wrong in ([np.zeros(9, np.float32)], [np.zeros(8, np.float64)], []):
        arguments = list(map(bench.device.upload, wrong))
        require(_refuses(bench, built, arguments, result), f"it takes {wrong!r}")
        require(np.isnan(bench.device.fetch(result)).all(), f"the result of {wrong!r} is written")


def _refuses(bench: Bench, built: Any, arguments: list[Any], result: Any) -> bool:
    try:
        bench.device.launch(built, arguments, [result])
    except (TypeError, ValueError):
        return True
    return False


def _rejection(bench: Bench) -> None:
    good = bench.kernel(COPY, *PAIR)
    stranger = ir.tirx.call_pure_extern("float32", "no_such_function", ir.tirx.const(1.0, "float32"))

    def store(node: Any) -> Any:
        return ir.tirx.BufferStore(node.buffer, stranger, node.indices)

    body = ir.ffi.structural_map(good.ir.body, (ir.tirx.BufferStore, store), order="post")
    wrong = Kernel(good.digest[::-1], "wrong", good.ir.with_body(body))
    require(_is_rejected(bench, wrong), "it is built")
    (found,) = bench.run(bench.device.build(good), [numbers(EIGHT.shape)], EIGHT)
    equal(found, numbers(EIGHT.shape), "the next kernel's result")


def _is_rejected(bench: Bench, kernel: Kernel) -> bool:
    try:
        bench.device.build(kernel)
    except BuildError:
        return True
    return False


KERNELS: dict[str, Check] = {
    "a kernel reads its argument, leaves it alone, and writes its result": _copy,
    "a kernel gets its arguments in order, then its results in order": _order,
    "tensors of one element without extent, and of none, are arguments like any": _small_arguments,
    "a built kernel runs as often as it is launched": _again,
    "what a kernel does not write stays poisoned": _unwritten,
    "tensors that do not fit a kernel raise TypeError or ValueError, and are not written": _misfits,
    "a kernel that calls what there is not raises BuildError, and the next is built": _rejection,
}
