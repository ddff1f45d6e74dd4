"""Kernels on a device, each time in a process of its own: drivers do not survive a fork."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from mutatenn import Backend, Device, Kernel, TensorSpec, call_isolated, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.compiler.legalize import Legalizer
from mutatenn.compiler.profiles import Profile, lower_graph
from mutatenn_backends.llvm import Llvm

PADDED = {"padding": [1, 1], "groups": 1}
Array = NDArray[np.generic]
# Functions that drivers have for each vector width, not all of them rounded alike.
APPROXIMATE = re.compile(r"\bT\.(tanh|sigmoid|exp|log|erf|pow|sqrt|rsqrt)\(")


@attrs.frozen
class Bench:
    """One device of this machine."""

    backend: Backend

    def call(self, work: Callable[[Device], Any]) -> Any:
        """Return what some work on the open device returns, done in a process of its own."""

        def with_device() -> Any:
            device = self.backend.open()
            result = work(device)
            device.close()
            return result

        return call_isolated(with_device)

    def kernel(self, source: str | Any) -> Kernel:
        """Return a kernel from the source of a PrimFunc that needs no schedule, or from such a PrimFunc."""
        function = ir.script.from_source(source) if isinstance(source, str) else source
        return Kernel("0", "test", lower_kernel(function, self.backend.target()))

    def run(self, kernel: Kernel, *arguments: Array) -> Array:
        """Return a kernel's result, which its last parameter describes."""
        return self.run_all([(kernel, arguments)])[0]

    def run_all(self, cases: Sequence[tuple[Kernel, Sequence[Array]]]) -> list[Array]:
        """Return the results of some kernels, run in one process."""

        def work(device: Device) -> list[Array]:
            return [run_again(device, kernel, [arguments])[0] for kernel, arguments in cases]

        results: list[Array] = self.call(work)
        return results

    def run_twice(self, cases: Sequence[tuple[Kernel, Sequence[Sequence[Array]]]]) -> list[list[Array]]:
        """Return the results of some kernels for some arguments each, written over each other."""

        def work(device: Device) -> list[list[Array]]:
            return [run_again(device, kernel, inputs) for kernel, inputs in cases]

        results: list[list[Array]] = self.call(work)
        return results


def run_again(device: Device, kernel: Kernel, inputs: Sequence[Sequence[Array]]) -> list[Array]:
    built, result = device.build(kernel), device.allocate(spec_of(kernel.ir.params[-1]))
    found = []
    for arguments in inputs:
        device.launch(built, [device.upload(each) for each in arguments], [result])
        found.append(device.fetch(result))
    return found


def spec_of(param: Any) -> TensorSpec:
    return TensorSpec(param.name, tuple(int(size) for size in param.ty.shape), str(param.ty.dtype))


def arguments_of(function: Any, seed: int = 0) -> list[Array]:
    """Return normally distributed arguments of a kernel."""
    rng = np.random.default_rng(seed)
    specs = [spec_of(param) for param in function.params[:-1]]
    return [rng.standard_normal(spec.shape).astype(spec.dtype) for spec in specs]


def kernels_of(body: Callable[..., Any], *shapes: tuple[int, ...]) -> list[Any]:
    """Return the schedulable kernels of a graph of one expression on float32 tensors."""
    variables = [
        ir.relax.Var(f"x{n}", ir.relax.TensorType(shape, "float32")) for n, shape in enumerate(shapes)
    ]
    builder = ir.relax.BlockBuilder()
    with builder.function("main", variables):
        with builder.dataflow():
            output = builder.emit_output(builder.normalize(body(*variables)))
        builder.emit_func_output(output)
    module = lower_graph(builder.get(), Profile(), Llvm().target(), Legalizer())
    return [function for _, function in module.functions_items() if isinstance(function, ir.tirx.PrimFunc)]


def scheduled(function: Any, backend: Backend) -> Kernel:
    """Return a schedulable kernel as a backend runs it."""
    return Kernel("0", "kernel", lower_kernel(backend.schedule(function), backend.target()))


def on_llvm(function: Any, arguments: Sequence[Array]) -> Array:
    """Return what a kernel without schedule computes on this machine's CPU."""
    kernel = Kernel("0", "kernel", lower_kernel(function, Llvm().target()))
    return run_again(Llvm().open(), kernel, [arguments])[0]


def hand_made(*names: str) -> list[tuple[str, Any]]:
    """Return kernels whose sizes divide badly, all or those of some names."""
    nn, op = ir.relax.op.nn, ir.relax.op
    graphs: list[tuple[str, Callable[..., Any], list[tuple[int, ...]]]] = [
        ("add", lambda a, b: op.add(a, b), [(1, 7, 13), (1, 7, 13)]),
        ("relu", lambda a: nn.relu(a), [(3,)]),
        ("transpose", lambda a: op.permute_dims(a, [0, 2, 1]), [(1, 19, 33)]),
        ("pad", lambda a: nn.pad(a, [0, 0, 1, 2, 2, 1]), [(2, 5, 6)]),
        ("concat", lambda a, b: op.concat([a, b], axis=1), [(1, 3, 10), (1, 5, 10)]),
        ("exp", lambda a: op.exp(a), [(1, 100)]),
        ("sum", lambda a: op.sum(a), [(4, 9)]),
        ("softmax", lambda a: nn.softmax(a), [(3, 37)]),
        ("mean", lambda a: op.mean(a, axis=[2, 3]), [(1, 21, 7, 7)]),
        ("pool", lambda a: nn.max_pool2d(a, [3, 3], strides=[2, 2], padding=[1, 1]), [(1, 5, 15, 15)]),
        ("dense", lambda a, w: op.matmul(a, w), [(1, 50), (50, 11)]),
        ("dense-t", lambda a, w: op.matmul(a, op.permute_dims(w)), [(1, 50), (11, 50)]),
        ("matmul", lambda a, w: op.matmul(a, w), [(33, 20), (20, 45)]),
        ("small-dense", lambda a, w: op.matmul(a, w), [(1, 5), (5, 3)]),
        (  # TVM's rules would do what follows a reduction over one element twice
            "one-term",
            lambda a, w, c: nn.relu(op.subtract(op.matmul(a, w), c)),
            [(3, 3, 1), (3, 1, 1), (1,)],
        ),
        ("small-conv", lambda a, w: nn.conv2d(a, w), [(1, 2, 4, 4), (3, 2, 3, 3)]),
        ("conv", lambda a, w: nn.conv2d(a, w, **PADDED), [(1, 3, 13, 13), (10, 3, 3, 3)]),
        ("conv-strided", lambda a, w: nn.conv2d(a, w, strides=2, **PADDED), [(1, 6, 15, 15), (20, 6, 3, 3)]),
        ("depthwise", lambda a, w: nn.conv2d(a, w, padding=1, groups=9), [(1, 9, 14, 14), (9, 1, 3, 3)]),
        ("wide-plane", lambda a, w: nn.conv2d(a, w, padding=1, groups=2), [(1, 2, 200, 200), (2, 1, 3, 3)]),
        (
            "many-wide-planes",
            lambda a, w: nn.conv2d(a, w, padding=1, groups=17),
            [(1, 17, 130, 130), (17, 1, 3, 3)],
        ),
        ("grouped", lambda a, w: nn.conv2d(a, w, groups=2), [(1, 4, 9, 9), (6, 2, 3, 3)]),
    ]
    return [
        (name, function)
        for name, body, shapes in graphs
        if not names or name in names
        for function in kernels_of(body, *shapes)
    ]


def check_values(bench: Bench, kernels: Sequence[tuple[str, Any]]) -> None:
    """Check that scheduled kernels compute what LLVM does without schedules."""
    inputs = [arguments_of(function) for _, function in kernels]
    ours = [scheduled(function, bench.backend) for _, function in kernels]
    results = bench.run_all(list(zip(ours, inputs, strict=True)))
    for (name, function), given, result in zip(kernels, inputs, results, strict=True):
        np.testing.assert_allclose(result, on_llvm(function, given), rtol=1e-5, atol=1e-5, err_msg=name)


def check_styles(
    styles: dict[str, Bench], random_graph: Callable[[int], Any], seeds: range, *, equal: Sequence[str] = ()
) -> None:
    """Check random kernels scheduled in all styles of one device against LLVM's plain loops.

    Those of ``equal`` styles are equal bit for bit, but for approximate functions: threads that sum
    together do so in another order. Every kernel runs twice, then over old results.
    """
    graphs = (random_graph(seed) for seed in seeds)
    functions = [each for _, body, shapes in graphs for each in kernels_of(body, *shapes)]
    inputs = [[arguments_of(each, seed) for seed in (1, 2)] for each in functions]
    found = {
        style: bench.run_twice(
            [(scheduled(each, bench.backend), given) for each, given in zip(functions, inputs, strict=True)]
        )
        for style, bench in styles.items()
    }
    for number, (function, arguments) in enumerate(zip(functions, inputs, strict=True)):
        script = function.script()
        for run in (0, 1):
            results = {style: each[number][run] for style, each in found.items()}
            expected = on_llvm(function, arguments[run])
            for style, result in results.items():
                np.testing.assert_allclose(result, expected, 1e-4, 1e-4, err_msg=f"{style}\n{script}")
            if not APPROXIMATE.search(script):
                assert len({results[style].tobytes() for style in equal}) <= 1, script
