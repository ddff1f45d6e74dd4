"""Kernels keep their results under the schedules for OpenCL devices, and have the guards that GPUs have."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import BuildError, Device, Kernel, TensorSpec, device_code, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.compiler.legalize import Legalizer
from mutatenn.compiler.profiles import Profile, lower_graph
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends.llvm import Llvm
from mutatenn_backends.opencl import OpenCl
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators.paper.comparison import LtToGt, LtToLe, ThresholdPlusHalf
from mutatenn_mutators.published_code.threads import DecreaseThreadExtent

APPROXIMATE = re.compile(r"\bT\.(tanh|sigmoid|exp|log|erf|pow|sqrt|rsqrt)\(")
PADDED = {"padding": [1, 1], "groups": 1}


@pytest.fixture(scope="module")
def digits(bench: Any) -> Toolchain:
    return Toolchain(
        Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx"))), bench.backend, Profile()
    )


def on_llvm(function: Any, arguments: list[Any]) -> Any:
    """Return what a kernel without schedule computes on this machine's CPU."""
    device = Llvm().open()
    result = device.allocate(TensorSpec("r", tuple(int(size) for size in function.params[-1].ty.shape)))
    built = device.build(Kernel("0", "kernel", lower_kernel(function, Llvm().target())))
    device.launch(built, [device.upload(each) for each in arguments], [result])
    return device.fetch(result)


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


def random_kernels(_: str, body: Callable[..., Any], shapes: list[tuple[int, ...]]) -> list[Any]:
    return kernels_of(body, *shapes)


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


def compare(
    bench: Any, backend: OpenCl, kernels: list[tuple[str, Any]], make_arguments: Any
) -> dict[str, float]:
    """Assert that scheduled kernels compute what LLVM does without schedules; return the differences."""
    cases = [(scheduled(function, backend), make_arguments(function)) for _, function in kernels]
    results = attrs.evolve(bench, backend=backend).run_all(cases)
    for (name, function), (_, arguments), result in zip(kernels, cases, results, strict=True):
        expected = on_llvm(function, arguments)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5, err_msg=name)


def scheduled(function: Any, backend: OpenCl) -> Kernel:
    return Kernel("0", "kernel", lower_kernel(backend.schedule(function), backend.target()))


@pytest.mark.slow
def test_kernels_of_all_kinds_compute_what_llvm_computes(bench: Any, make_arguments: Any) -> None:
    compare(bench, bench.backend, hand_made(), make_arguments)


def test_the_bundled_models_kernels_compute_what_llvm_computes(
    bench: Any, digits: Toolchain, make_arguments: Any
) -> None:
    compare(bench, bench.backend, list(digits.units.items()), make_arguments)


@pytest.mark.parametrize("style", ["plain", "gpu"])
def test_other_styles_compute_the_same(
    bench: Any, digits: Toolchain, make_arguments: Any, style: str
) -> None:
    names = ("fused_conv2d1_add_relu", "fused_matmul_add5", "softmax")  # what takes long to compile is slow
    kernels = [
        *((name, digits.units[name]) for name in names),
        *hand_made("grouped", "conv-strided", "one-term"),
    ]
    compare(bench, OpenCl(schedules=style), kernels, make_arguments)


def test_a_schedule_that_tvm_cannot_lower_gives_way(bench: Any) -> None:
    ((_, function),) = hand_made("grouped")
    gpu, target = ir.s_tir.dlight.gpu, bench.backend.target()
    with target:
        rules = ir.s_tir.dlight.ApplyDefaultSchedule(gpu.Reduction(), gpu.GeneralReduction())
        unsound = rules(ir.tvm.IRModule({"kernel": function}))["kernel"]
    with pytest.raises(BuildError):
        lower_kernel(unsound, target)
    lower_kernel(OpenCl(schedules="gpu").schedule(function), target)


def test_schedules_for_cpus_change_no_bit(bench: Any, make_arguments: Any) -> None:
    change_no_bit(
        bench,
        hand_made("pad", "softmax", "pool", "matmul", "small-conv", "conv", "depthwise"),
        make_arguments,
    )


@pytest.mark.slow
def test_schedules_for_cpus_change_no_bit_of_any_kernel(
    bench: Any, digits: Toolchain, make_arguments: Any
) -> None:
    change_no_bit(bench, [*digits.units.items(), *hand_made()], make_arguments)


def change_no_bit(bench: Any, kernels: list[tuple[str, Any]], make_arguments: Any) -> None:
    cases = [
        (scheduled(function, OpenCl(schedules=style)), make_arguments(function))
        for _, function in kernels
        for style in ("cpu", "plain")
    ]
    results = bench.run_all(cases)
    for (name, _), fast, plain in zip(kernels, results[::2], results[1::2], strict=True):
        np.testing.assert_array_equal(fast, plain, err_msg=name)


@pytest.mark.parametrize(
    "seeds", [range(4), pytest.param(range(4, 40), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_random_kernels_in_all_styles(
    bench: Any, random_graph: Any, make_arguments: Any, seeds: range
) -> None:
    """Those of one device are equal bit for bit but for functions that drivers have for each vector width.

    Threads that sum together do so in another order. Every kernel runs twice, then over old results.
    """
    functions = [each for seed in seeds for each in random_kernels(*random_graph(seed))]
    inputs = [[make_arguments(each, seed) for seed in (1, 2)] for each in functions]
    styles = {
        style: [scheduled(each, OpenCl(schedules=style)) for each in functions]
        for style in ("plain", "cpu", "gpu")
    }
    plain, cpu, gpu = (bench.run_twice(list(zip(each, inputs, strict=True))) for each in styles.values())
    for number, (function, arguments) in enumerate(zip(functions, inputs, strict=True)):
        for run in (0, 1):
            one, expected = plain[number][run], on_llvm(function, arguments[run])
            np.testing.assert_allclose(one, expected, 1e-4, 1e-4, err_msg=function.script())
            np.testing.assert_allclose(gpu[number][run], expected, 1e-4, 1e-4, err_msg=function.script())
            if not APPROXIMATE.search(function.script()):
                np.testing.assert_array_equal(cpu[number][run], one, function.script())


def test_every_kernel_has_a_guard_that_a_comparison_operator_finds(digits: Toolchain) -> None:
    for name in digits.units:
        lowered = digits.unit(name, "lowered")
        guards = [site for site in LtToLe().sites(lowered) if site.endswith("in if")]
        assert guards, name
        for operator in (LtToGt(), ThresholdPlusHalf()):
            assert len(operator.sites(lowered)) >= len(guards)


def test_a_guard_is_mutated_in_the_source_and_on_the_device(
    bench: Any, digits: Toolchain, make_arguments: Any
) -> None:
    """The mutation of figure 2 of the MutateNN paper: ``if (thread < bound)`` to ``<=``."""
    function = kernels_of(lambda a: ir.relax.op.negative(a), (3, 40))[0]
    lowered = scheduled(function, bench.backend).ir
    sites = LtToLe().sites(lowered)
    site = len(sites) - 1
    assert sites[site].endswith("in if")
    mutants = [lowered, *(operator.apply(lowered, [site]) for operator in (LtToLe(), LtToGt()))]
    kernels = [Kernel(str(n), "kernel", mutant) for n, mutant in enumerate(mutants)]
    before, after, turned = (bench.backend.source(kernel, "opencl") for kernel in kernels)
    changed = [
        (old, new) for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new
    ]
    ((old, new),) = changed
    assert old.strip().startswith("if (")
    assert new == old.replace(" < ", " <= ")
    assert turned not in (before, after)

    (arguments,) = make_arguments(function)

    def work(device: Device) -> list[Any]:
        found = []
        for kernel in kernels:
            result = device.allocate(TensorSpec("r", (3, 40)))
            device.launch(device.build(kernel), [device.upload(arguments)], [result])
            found.append((device.fetch(result), after_end(device, result)))
        return found

    (original, tail), (more, longer), (none, _) = bench.call(work)
    np.testing.assert_array_equal(original, -arguments)
    np.testing.assert_array_equal(more, original)
    assert longer != tail  # one thread more has written behind the end
    assert np.isnan(none).all()


def after_end(device: Any, tensor: Any) -> bytes:
    """Return the guard behind a tensor."""
    import pyopencl as cl

    guard = np.empty(device.memory.guard, np.uint8)
    start = device.memory.guard + tensor.spec.nbytes
    cl.enqueue_copy(device.queue, guard, tensor.whole, src_offset=start)
    return guard.tobytes()


def test_fewer_threads_leave_results_unwritten(bench: Any, digits: Toolchain, make_arguments: Any) -> None:
    name = "fused_conv2d1_add_relu"
    mutant = DecreaseThreadExtent().apply(digits.unit(name, "lowered"), [0])
    result = bench.run(Kernel("0", name, mutant), *make_arguments(digits.units[name]))
    assert np.isnan(result).any()
    assert not np.isnan(result).all()


def test_schedules_follow_the_style(bench: Any, digits: Toolchain) -> None:
    function = digits.units["fused_conv2d4_add2_relu1"]
    sources = {
        style: device_code(scheduled(function, OpenCl(schedules=style)), bench.backend.target()).source
        for style in ("cpu", "gpu", "plain")
    }
    assert len(set(sources.values())) == 3
    assert "__local" in sources["gpu"]
    assert "float8" in sources["cpu"] or "float4" in sources["cpu"] or "float16" in sources["cpu"]
    assert len({OpenCl(schedules=style).schedule_identity() for style in sources}) == 3
