"""The CUDA backend builds on machines without a GPU: source that nvcc takes, guards that mutants change."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from mutatenn import BuildError, InputError, Kernel, ir
from mutatenn.compiler.kernels import compile_kernel, lower_kernel
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.host.options import create
from mutatenn_backends._cuda import compile as compilation
from mutatenn_backends._cuda.compile import compile_source, find_nvcc, missing_tool
from mutatenn_backends.cuda import Cuda, missing
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators.paper.comparison import LtToLe
from mutatenn_mutators.published_code.loops import DecreaseLoopMinimum

BACKEND = Cuda(arch="sm_90")
MOBILE_NET = Path(os.environ.get("MUTATENN_TEST_DATA", "absent")) / "models" / "mobilenet_v2_1.0_224.onnx"
NVCC = pytest.mark.skipif(find_nvcc() is None, reason="no nvcc; install the CUDA toolkit")
GUARD = re.compile(r"if \(.*threadIdx\.x.* < ")
SCALE = """
@T.prim_func(s_tir=True)
def {name}(A: T.Buffer((100,), "float32"), B: T.Buffer((100,), "float32")):
    for i in range(100):
        with T.sblock("block"):
            v = T.axis.spatial(100, i)
            B[v] = A[v] * T.float32({factor})
"""


def load(path: Path) -> Toolchain:
    return Toolchain(Onnx().load(path), BACKEND, Profile())


@pytest.fixture(scope="module")
def digits() -> Toolchain:
    return load(Path(str(files("mutatenn") / "data" / "digits.onnx")))


@pytest.fixture(scope="module")
def sources(digits: Toolchain) -> dict[str, str]:
    """Return the CUDA source of every kernel of the bundled model, by its name."""
    return {kernel.name: BACKEND.source(kernel, "cuda") for kernel in digits.program.kernels.values()}


def scale(factor: float = 2.5, name: str = "main") -> Kernel:
    function = ir.script.from_source(SCALE.format(factor=factor, name=name))
    return Kernel("0", name, lower_kernel(BACKEND.schedule(function), BACKEND.target()))


def together(sources: dict[str, str]) -> str:
    """Return sources as one file, every kernel under a name of its own."""
    parts = [text.partition('extern "C"') for text in sources.values()]
    kernels = [
        f"{mark}{rest}".replace("kernel_kernel", f"k{number}_")
        for number, (_, mark, rest) in enumerate(parts)
    ]
    return "\n".join([parts[0][0], *kernels])


def test_every_kernel_has_source_and_launches(digits: Toolchain, sources: dict[str, str]) -> None:
    assert len(sources) == len(digits.units)
    for text in sources.values():
        assert "__global__ void __launch_bounds__(" in text
        assert re.search(r"^// launch kernel_kernel.* on \d+ x \d+ x \d+ blocks of \d+ x", text, re.MULTILINE)


@NVCC
def test_nvcc_takes_every_kernel(sources: dict[str, str]) -> None:
    ptx = compile_source(together(sources), "sm_90", "nvcc", "ptx").decode()
    assert ptx.count(".visible .entry") == len(sources)


def test_threads_beyond_the_end_are_guarded(sources: dict[str, str]) -> None:
    guarded = [name for name, text in sources.items() if GUARD.search(text)]
    assert len(guarded) >= len(sources) / 2


def test_a_mutant_of_a_guard_changes_the_source(digits: Toolchain, sources: dict[str, str]) -> None:
    changed = 0
    for name in ("max_pool2d", "softmax", "fused_matmul_add5"):
        lowered = digits.unit(name, "lowered")
        for site in range(len(LtToLe().sites(lowered))):
            program, _ = digits.derive(LtToLe(), "lowered", {name: {site}})
            (kernel,) = (each for each in program.kernels.values() if each.name == name)
            mutant = BACKEND.source(kernel.plain or kernel, "cuda")
            before, after = (len(GUARD.findall(text)) for text in (sources[name], mutant))
            assert mutant != sources[name]
            changed += before == after + 1 and mutant.count(" <= ") > sources[name].count(" <= ")
    assert changed >= 3


@pytest.mark.slow
@NVCC
@pytest.mark.skipif(not MOBILE_NET.exists(), reason="set MUTATENN_TEST_DATA to a folder with MobileNetV2")
def test_nvcc_takes_mobile_net() -> None:
    toolchain = load(MOBILE_NET)
    sources = {name: BACKEND.source(each, "cuda") for name, each in toolchain.program.kernels.items()}
    assert len(sources) > 30
    assert sum(bool(GUARD.search(text)) for text in sources.values()) >= len(sources) / 2
    ptx = compile_source(together(sources), "sm_90", "nvcc", "ptx").decode()
    assert ptx.count(".visible .entry") == len(sources)


@pytest.mark.parametrize("kind", ["cuda", pytest.param("ptx", marks=NVCC)])
def test_the_text_is_that_of_the_code(kind: str) -> None:
    text = BACKEND.source(scale(), kind)
    assert text == BACKEND.source(scale(name="another"), kind)
    assert text != BACKEND.source(scale(2.75), kind)
    assert "// launch" in text


@NVCC
def test_ptx_is_for_the_architecture() -> None:
    kernel = scale()
    assert BACKEND.source(kernel, "ptx").startswith(".version")
    for arch in ("sm_80", "sm_90"):
        assert f".target {arch}" in Cuda(arch=arch).source(kernel, "ptx")


@NVCC
def test_arithmetic_is_exact() -> None:
    source = 'extern "C" __global__ void f(float* a) { a[0] = a[1] / a[2]; }'
    text = compile_source(source, "sm_90", "nvcc", "ptx").decode()
    assert "div.rn.f32" in text
    assert ".ftz" not in text


@NVCC
@pytest.mark.parametrize(
    ("source", "arch", "reason"),
    [
        ('extern "C" __global__ void f(float* a) { a[0] = nowhere; }', "sm_90", '"nowhere" is undefined'),
        ('extern "C" __global__ void f(float* a) {}', "sm_20", "Unsupported gpu architecture"),
    ],
)
def test_what_nvcc_rejects_is_a_build_error(source: str, arch: str, reason: str) -> None:
    with pytest.raises(BuildError, match=reason) as caught:
        compile_source(source, arch, "nvcc", "cubin")
    assert "\n" not in str(caught.value)


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compilation, "toolkits", lambda: iter(()))
    with pytest.raises(InputError, match="nvcc is missing; install the CUDA toolkit"):
        BACKEND.source(scale(), "ptx")
    assert "__global__" in BACKEND.source(scale(), "cuda")
    works, detail = Cuda.diagnose()
    assert not works
    assert detail.startswith("cannot build: nvcc is missing") == bool(missing_tool("nvrtc"))


def test_a_toolkit_is_found_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "nvcc"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert find_nvcc() == str(tool)


def test_nvrtc_compiles_too() -> None:
    if lacking := missing_tool("nvrtc"):
        pytest.skip(lacking)
    assert ".visible .entry kernel_kernel" in Cuda(arch="sm_90", compiler="nvrtc").source(scale(), "ptx")
    assert compile_source("", "sm_90", "nvrtc", "cubin").startswith(b"\x7fELF")


def test_a_missing_gpu_is_named() -> None:
    absent = missing()
    if not absent:
        pytest.skip("this machine has a GPU")
    assert absent[-1] == "GPU 0"
    with pytest.raises(InputError, match="set arch, for example to 'sm_90'") as caught:
        Cuda().target()
    assert ", ".join(absent) in str(caught.value)
    with pytest.raises(InputError, match="no CUDA device 0 here"):
        BACKEND.open()
    works, detail = Cuda.diagnose()
    assert not works
    assert detail.endswith(f"cannot run, for want of {', '.join(absent)}")


@pytest.mark.parametrize(
    "options", [{"arch": "sm90"}, {"compiler": "clang"}, {"device": -1}, {"schedules": "cpu"}]
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="cuda cannot take"):
        create(Cuda, options)


def test_plain_schedules_are_others() -> None:
    plain = Cuda(arch="sm_90", schedules="plain")
    assert plain.schedule_identity() != BACKEND.schedule_identity()
    digits = Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx")))
    kernels = [Toolchain(digits, each, Profile()).program.kernels for each in (plain, BACKEND)]
    assert not set(kernels[0]) >= set(kernels[1])


def test_an_unknown_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(NotImplementedError, match="kind opencl"):
        BACKEND.source(scale(), "opencl")


def test_what_is_left_to_the_host_is_a_build_error(digits: Toolchain) -> None:
    """The host would access the device's tensors; TVM builds it all the same, without a word."""
    name = "fused_conv2d6_add4_relu2"
    mutant = DecreaseLoopMinimum().apply(digits.units[name], [6])
    kernel = Kernel("0", name, lower_kernel(BACKEND.schedule(mutant), BACKEND.target()))
    with pytest.raises(BuildError, match="a tensor's access is left to the host, outside of any thread"):
        compile_kernel(kernel, BACKEND.target())
    with pytest.raises(BuildError, match="left to the host"):
        BACKEND.source(kernel, "cuda")
