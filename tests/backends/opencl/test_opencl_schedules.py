"""Kernels keep their results under the schedules for OpenCL devices, and have the guards that GPUs have."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_bench import (
    Bench,
    arguments_of,
    check_styles,
    check_values,
    hand_made,
    kernels_of,
    on_llvm,
    scheduled,
)

from mutatenn import BuildError, Device, Kernel, TensorSpec, device_code, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends._schedules.cpu._stages import NotApplicableError
from mutatenn_backends._schedules.cpu.stream_products import stream_products
from mutatenn_backends._schedules.gpu._bind import bind_threads
from mutatenn_backends.llvm import Llvm
from mutatenn_backends.opencl import OpenCl
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators.paper.comparison import LtToGt, LtToLe, ThresholdPlusHalf
from mutatenn_mutators.published_code.threads import DecreaseThreadExtent


@pytest.fixture(scope="module")
def digits(bench: Any) -> Toolchain:
    return Toolchain(
        Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx"))), bench.backend, Profile()
    )


@pytest.mark.slow
def test_kernels_of_all_kinds_compute_what_llvm_computes(bench: Any) -> None:
    check_values(bench, hand_made())


@pytest.mark.slow
def test_the_bundled_models_kernels_compute_what_llvm_computes(bench: Any, digits: Toolchain) -> None:
    check_values(bench, list(digits.units.items()))


@pytest.mark.parametrize("style", ["plain", "gpu"])
@pytest.mark.slow
def test_other_styles_compute_the_same(bench: Any, digits: Toolchain, style: str) -> None:
    names = ("fused_conv2d1_add_relu", "fused_matmul_add5", "softmax")  # what takes long to compile is slow
    kernels = [
        *((name, digits.units[name]) for name in names),
        *hand_made("grouped", "conv-strided", "one-term"),
    ]
    check_values(Bench(OpenCl(schedules=style)), kernels)


def test_a_schedule_that_tvm_cannot_lower_gives_way(bench: Any) -> None:
    ((_, function),) = hand_made("grouped")
    gpu, target = ir.s_tir.dlight.gpu, bench.backend.target()
    with target:
        rules = ir.s_tir.dlight.ApplyDefaultSchedule(gpu.Reduction(), gpu.GeneralReduction())
        unsound = rules(ir.tvm.IRModule({"kernel": function}))["kernel"]
    with pytest.raises(BuildError):
        lower_kernel(unsound, target)
    lower_kernel(OpenCl(schedules="gpu").schedule(function), target)


@pytest.mark.slow
def test_schedules_for_cpus_change_no_bit(bench: Any) -> None:
    change_no_bit(
        bench,
        hand_made("pad", "softmax", "matmul", "small-conv"),
    )


@pytest.mark.slow
def test_schedules_for_cpus_change_no_bit_of_any_kernel(bench: Any, digits: Toolchain) -> None:
    change_no_bit(bench, [*digits.units.items(), *hand_made()])


def change_no_bit(bench: Any, kernels: list[tuple[str, Any]]) -> None:
    cases = [
        (scheduled(function, OpenCl(schedules=style)), arguments_of(function))
        for _, function in kernels
        for style in ("cpu", "plain")
    ]
    results = bench.run_all(cases)
    for (name, _), fast, plain in zip(kernels, results[::2], results[1::2], strict=True):
        np.testing.assert_array_equal(fast, plain, err_msg=name)


@pytest.mark.parametrize(
    "seeds",
    [
        range(2),
        pytest.param(range(2, 12), marks=pytest.mark.slow),
        pytest.param(range(12, 40), marks=pytest.mark.soak),
    ],
    ids=["few", "some", "many"],
)
def test_random_kernels_in_all_styles(bench: Any, random_graph: Any, seeds: range) -> None:
    styles = {style: Bench(OpenCl(schedules=style)) for style in ("plain", "cpu", "gpu")}
    check_styles(styles, random_graph, seeds, equal=["plain", "cpu"])


def test_sums_are_not_shared_out_among_threads(bench: Bench) -> None:
    """A matrix that passes by all sums would have threads write over each other's: right by luck alone."""
    (function,) = kernels_of(lambda a, w: ir.relax.op.matmul(a, w), (1, 1024), (1024, 128))
    streamed = stream_products(function, Llvm().target())
    assert streamed is not None
    with pytest.raises(NotApplicableError, match="iterations that depend on each other"):
        bind_threads(streamed, 64)
    arguments = arguments_of(function)
    found = bench.run_all([(scheduled(function, OpenCl(schedules="cpu")), arguments)] * 5)
    for each in found:
        np.testing.assert_array_equal(each, on_llvm(function, arguments))


def test_every_kernel_has_a_guard_that_a_comparison_operator_finds(digits: Toolchain) -> None:
    for name in digits.units:
        lowered = digits.unit(name, "lowered")
        guards = [site for site in LtToLe().sites(lowered) if site.endswith("in if")]
        assert guards, name
        for operator in (LtToGt(), ThresholdPlusHalf()):
            assert len(operator.sites(lowered)) >= len(guards)


def test_a_guard_is_mutated_in_the_source_and_on_the_device(bench: Bench) -> None:
    """The mutation of figure 2 of the MutateNN paper: ``if (thread < bound)`` to ``<=``.

    A thread has one element, whatever the width of the device's vectors.
    """
    bench = Bench(OpenCl(schedules="plain"))
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

    (arguments,) = arguments_of(function)

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


def test_fewer_threads_leave_results_unwritten(bench: Any, digits: Toolchain) -> None:
    name = "fused_conv2d1_add_relu"
    mutant = DecreaseThreadExtent().apply(digits.unit(name, "lowered"), [0])
    result = bench.run(Kernel("0", name, mutant), *arguments_of(digits.units[name]))
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
