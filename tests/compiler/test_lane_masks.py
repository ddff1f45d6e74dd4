"""No code reads the signs of another vector register than it should (llvm/llvm-project#191304)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mutatenn
from mutatenn import Kernel
from mutatenn.compiler import kernels
from mutatenn.compiler.lane_masks import takes_signs_apart, without_mask_moves
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Fault, Toolchain
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators.bugs.kernel.index import NarrowLoadIndex

DIGITS = Path(mutatenn.__file__).parent / "data" / "digits.onnx"
UNIT = "fused_conv2d6_add4_relu2"
WRONG = re.compile(r"v?p?movmsk\w+\s+%[xy]mm(?:1[6-9]|2\d|3[01])\b")


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    """The digits for a processor with AVX-512, which this machine need not have to compile for it."""
    return Toolchain(Onnx().load(DIGITS), Llvm(mcpu="znver4"), Profile(), "auto")


@pytest.fixture(scope="module")
def changed(toolchain: Toolchain) -> list[Kernel]:
    """Kernels that look at the sign of every lane of an index, as wild loads are watched."""
    sites = NarrowLoadIndex().sites(toolchain.unit(UNIT, "lowered"))
    found = []
    for site in range(20, min(29, len(sites))):
        program, _ = toolchain.combine([Fault(NarrowLoadIndex(), "lowered", {UNIT: {site}})])
        found += [kernel for kernel in program.kernels.values() if kernel.monitor]
    return found


def assembly(kernel: Kernel, toolchain: Toolchain) -> str:
    return str(kernels.compile_kernel(kernel, toolchain.target).inspect_source("asm"))


def test_none_is_compiled_so(toolchain: Toolchain, changed: list[Kernel]) -> None:
    assert len(changed) > 5
    assert [each.name for each in changed if WRONG.search(assembly(each, toolchain))] == []


def test_the_compiler_still_makes_the_mistake(
    toolchain: Toolchain, changed: list[Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once this fails, the compiler is mended, and what keeps the mistake away can go."""
    monkeypatch.setattr(kernels, "without_mask_moves", lambda target: None)
    assert any(WRONG.search(assembly(each, toolchain)) for each in changed)


def test_the_original_is_compiled_for_the_whole_processor(toolchain: Toolchain) -> None:
    for kernel in toolchain.program.kernels.values():
        library = kernels.compile_kernel(kernel, toolchain.target)
        assert not takes_signs_apart(library)
        assert "-avx512dq" not in library.inspect_source("ll")


def test_processors_without_such_registers_are_left_alone() -> None:
    assert without_mask_moves(Llvm(mcpu="x86-64-v3").target()) is None
    spared = without_mask_moves(Llvm(mcpu="x86-64-v4", mattr=("-avx512cd",)).target())
    assert spared is not None
    assert list(spared.attrs["mattr"]) == ["-avx512cd", "-avx512dq", "-avx512bw"]
