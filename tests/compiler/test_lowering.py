"""What a kernel comes to is remembered on disk, under all that it depends on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from mutatenn import Model, ir
from mutatenn.compiler import lowering as module
from mutatenn.compiler.cache import KernelCache, kernel_cache
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends.llvm import Llvm


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelCache]:
    monkeypatch.setenv("MUTATENN_KERNEL_CACHE", str(tmp_path / "kernels"))
    kernel_cache.cache_clear()
    found = kernel_cache()
    assert found is not None
    yield found
    kernel_cache.cache_clear()


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what is lowered from now on."""
    seen: list[Any] = []

    def lower(function: Any, target: Any) -> Any:
        seen.append(function)
        return lower_kernel(function, target)

    monkeypatch.setattr(module, "lower_kernel", lower)
    return seen


def notes(cache: KernelCache) -> list[Path]:
    return sorted(cache.folder.glob("*/*.note"))


def compiled(model: Model, backend: Llvm | None = None) -> Toolchain:
    return Toolchain(model, backend or Llvm(), Profile())


def test_a_second_time_nothing_is_lowered(cache: KernelCache, model: Model, lowered: list[Any]) -> None:
    first = compiled(model)
    assert len(lowered) == len(first.program.kernels) == len(notes(cache))
    lowered.clear()
    second = compiled(model)
    assert lowered == []
    assert list(second.program.kernels) == list(first.program.kernels)
    for digest, kernel in second.program.kernels.items():
        ir.tvm.ir.assert_structural_equal(kernel.ir, first.program.kernels[digest].ir)
    assert len(lowered) == len(first.program.kernels)


def test_mutants_and_their_monitors_are_remembered_too(
    cache: KernelCache, model: Model, plus_one: Any, lowered: list[Any]
) -> None:
    programs = []
    for _ in range(2):
        toolchain = compiled(model)
        lowered.clear()
        programs.append(toolchain.derive(plus_one, "schedulable", {"fused_conv2d6_add4_relu2": [0]})[0])
    assert lowered == []
    first, second = programs
    assert list(first.kernels) == list(second.kernels)
    (changed,) = second.kernels.keys() - toolchain.program.kernels.keys()
    ir.tvm.ir.assert_structural_equal(first.kernels[changed].ir, second.kernels[changed].ir)
    assert second.kernels[changed].monitor == first.kernels[changed].monitor == ()
    assert "monitor" in second.kernels[changed].ir.script()


@attrs.frozen(kw_only=True)
class Forgetful(Llvm):
    """A backend that does not say what its schedules depend on."""

    def schedule_identity(self) -> str:
        return ""


@attrs.frozen(kw_only=True)
class Renewed(Llvm):
    """The backend with other schedule rules."""

    def schedule_identity(self) -> str:
        return "other rules"


@pytest.mark.parametrize("backend", [Llvm(mcpu="x86-64"), Llvm(schedules=False), Renewed()], ids=str)
def test_target_options_and_rules_count(
    cache: KernelCache, model: Model, lowered: list[Any], backend: Llvm
) -> None:
    compiled(model)
    lowered.clear()
    compiled(model, backend)
    assert lowered


def test_a_class_of_its_own_counts(cache: KernelCache, model: Model, lowered: list[Any]) -> None:
    @attrs.frozen(kw_only=True)
    class Other(Llvm):
        pass

    compiled(model)
    lowered.clear()
    compiled(model, Other())
    assert lowered


def test_a_class_from_nowhere_is_not_remembered(cache: KernelCache, model: Model) -> None:
    space: dict[str, Any] = {"Llvm": Llvm, "__name__": "nowhere"}
    exec("class Typed(Llvm): pass", space)
    compiled(model, space["Typed"]())
    assert notes(cache) == []


def test_without_an_identity_nothing_is_remembered(
    cache: KernelCache, model: Model, lowered: list[Any]
) -> None:
    for _ in range(2):
        lowered.clear()
        assert len(compiled(model, Forgetful()).program.kernels) == len(lowered)
    assert notes(cache) == []


@pytest.mark.parametrize("damage", ["", "x", "a b", "a b c"])
def test_a_damaged_note_is_not_believed(cache: KernelCache, model: Model, damage: str) -> None:
    first = compiled(model)
    for note in notes(cache):
        note.write_text(damage)
    assert list(compiled(model).program.kernels) == list(first.program.kernels)
    assert all(note.read_text() != damage for note in notes(cache))


def test_notes_count_for_the_limit(cache: KernelCache, model: Model) -> None:
    compiled(model)
    attrs.evolve(cache, limit=0).tidy()
    assert notes(cache) == []
