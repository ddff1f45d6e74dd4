"""Processors as distinct devices: the same answers from different machine code, none that cannot run here."""

from __future__ import annotations

import platform
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import InputError, Model, Program, ir
from mutatenn.compiler.kernels import compile_kernel
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends._cpu import processor
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx

X86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another architecture")
LEVELS = ["x86-64", "x86-64-v3", "x86-64-v4"]


@pytest.fixture(scope="module")
def model() -> Model:
    return Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx")))


@pytest.fixture(scope="module")
def programs(model: Model) -> dict[str, Program]:
    """Return the bundled model for every processor, by the name of that."""
    return {mcpu: Toolchain(model, Llvm(mcpu=mcpu), Profile()).program for mcpu in [*LEVELS, "native"]}


def answer(backend: Llvm, program: Program, image: NDArray[np.float32]) -> NDArray[Any]:
    device = backend.open()
    tensors = {number: device.upload(constant.value) for number, constant in program.constants.items()}
    tensors[program.input] = device.upload(image)
    for call in program.calls:
        tensors |= {number: device.allocate(program.values[number]) for number in call.results}
        operands = ([tensors[number] for number in each] for each in (call.arguments, call.results))
        device.launch(device.build(call.kernel), *operands)
    return device.fetch(tensors[program.output])


@X86
@pytest.mark.parametrize(
    ("processors", "schedules"),
    [
        (("native", "x86-64"), True),
        pytest.param(None, True, marks=pytest.mark.slow),
        pytest.param(None, False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_processors_give_the_same_answers(
    model: Model, processors: tuple[str, ...] | None, schedules: bool
) -> None:
    image = np.random.default_rng(0).uniform(0, 1, model.input.shape).astype(np.float32)
    answers = []
    for mcpu in processors or processor.runnable():
        backend = Llvm(mcpu=mcpu, schedules=schedules)
        answers.append(answer(backend, Toolchain(model, backend, Profile()).program, image))
    assert len(answers) >= 2
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=0, atol=1e-5)


@X86
def test_processors_differ_in_code_and_in_the_cache(programs: dict[str, Program]) -> None:
    kernels = {mcpu: next(iter(programs[mcpu].kernels.values())) for mcpu in LEVELS}
    assert len({kernel.name for kernel in kernels.values()}) == 1
    assert len({kernel.digest for kernel in kernels.values()}) == len(LEVELS)
    digests = [set(programs[mcpu].kernels) for mcpu in LEVELS]
    assert len(set.union(*digests)) == sum(map(len, digests)), "no kernel stands for two processors"
    (vast,) = {kernel.name for kernel in programs["native"].kernels.values() if "conv2d2_" in kernel.name}
    codes = {
        mcpu: Llvm(mcpu=mcpu).source(kernel, "asm")
        for mcpu in LEVELS
        for kernel in programs[mcpu].kernels.values()
        if kernel.name == vast
    }
    assert [register in codes["x86-64"] for register in ("%xmm", "%ymm", "%zmm")] == [True, False, False]
    assert [register in codes["x86-64-v3"] for register in ("%ymm", "%zmm")] == [True, False]
    assert "%zmm" in codes["x86-64-v4"]


@X86
def test_schedules_keep_to_the_vectors_of_the_target(programs: dict[str, Program]) -> None:
    lanes = {}
    for mcpu in LEVELS:
        found: set[int] = set()
        for kernel in programs[mcpu].kernels.values():
            ir.ffi.structural_walk(kernel.ir.body, (ir.tirx.Ramp, lambda node: found.add(int(node.lanes))))  # noqa: B023
        lanes[mcpu] = max(found)
    assert lanes == {"x86-64": 4, "x86-64-v3": 8, "x86-64-v4": 16}


@X86
def test_features_count_like_processors(model: Model) -> None:
    backend = Llvm(mcpu="x86-64", mattr=("+avx2", "+fma"))
    kernel = next(iter(Toolchain(model, backend, Profile()).program.kernels.values()))
    assert "%ymm" in backend.source(kernel, "asm")


def test_another_architecture_is_built_for_but_not_run(model: Model) -> None:
    here = platform.machine().lower()
    other = "x86_64-linux-gnu" if "aarch64" in here or "arm64" in here else "aarch64-linux-gnu"
    backend = Llvm(mtriple=other)
    kernel = next(iter(Toolchain(model, backend, Profile()).program.kernels.values()))
    assert compile_kernel(kernel, backend.target()).inspect_source("ll").count(other) >= 1
    with pytest.raises(InputError, match=f"cannot execute code for {other}"):
        backend.open()


@X86
@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"mcpu": "x86-64-v5"}, "unknown processor 'x86-64-v5'; did you mean 'x86-64-v4'?"),
        ({"mcpu": "Haswel"}, "did you mean 'haswell'?"),
        ({"mattr": ("+avx512z",)}, "unknown feature 'avx512z'; did you mean 'avx512"),
        ({"mattr": ("avx2",)}, "write '+avx2'"),
        ({"mtriple": "aach64-linux-gnu"}, "'aach64'; did you mean 'aarch64'?"),
        ({"mtriple": "nvptx64-nvidia-cuda"}, "choose another"),
        ({"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a721"}, "did you mean 'cortex-a72'?"),
    ],
)
def test_names_that_llvm_does_not_know(options: dict[str, Any], cure: str) -> None:
    with pytest.raises(InputError) as caught:
        Llvm(**options).target()
    assert cure in str(caught.value)
    assert "\n" not in str(caught.value)


def pretend(monkeypatch: pytest.MonkeyPatch, path: Path, text: str) -> None:
    path.write_text(text)
    monkeypatch.setattr(processor, "CPUINFO", path)
    for cached in (processor.host_flags, processor.make_target):
        cached.cache_clear()
        monkeypatch.setattr(processor, cached.__name__, cached.__wrapped__)


# An x86-64-v2 processor with AVX, as Linux describes it.
SANDY_BRIDGE = (
    "processor\t: 0\nflags\t\t: fpu cx8 cmov mmx fxsr sse sse2 ht pni pclmulqdq ssse3 cx16 sse4_1 sse4_2 "
    "popcnt aes xsave avx lahf_lm\n"
)


@X86
def test_what_the_processor_lacks_is_refused_before_it_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, tmp_path / "cpuinfo", SANDY_BRIDGE)
    Llvm(mcpu="x86-64-v2").open()
    Llvm(mcpu="x86-64", mattr=("+avx",)).open()
    with pytest.raises(InputError) as caught:
        Llvm(mcpu="x86-64-v3").open()
    assert str(caught.value) == (
        "this processor has no avx2, fma, f16c, bmi, bmi2, lzcnt, movbe, which mcpu = 'x86-64-v3' or mattr "
        "asks for; set mcpu to one that it runs: native, x86-64-v2, x86-64"
    )
    with pytest.raises(InputError, match="has no avx2, which"):
        Llvm(mattr=("+avx2",)).open()


@X86
def test_native_leaves_out_what_a_virtual_machine_hides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Model
) -> None:
    pretend(monkeypatch, tmp_path / "cpuinfo", SANDY_BRIDGE)
    backend = Llvm()
    backend.open()
    features = ir.tvm.target.codegen.llvm_get_cpu_features(backend.target())
    assert not features & {"avx2", "fma", "avx512f"}
    kernel = next(iter(Toolchain(model, backend, Profile()).program.kernels.values()))
    assert "%zmm" not in backend.source(kernel, "asm")


def test_without_a_word_from_linux_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, tmp_path / "cpuinfo", "processor\t: 0\n")
    assert processor.missing_features(Llvm().target()) == []
