"""Mutants that compilers undo: never infected, and built of the original's very code."""

from __future__ import annotations

import os
import signal
from typing import Any

import attrs
import pytest

from mutatenn import BuildError, ir
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.attempt import SAME_MACHINE_CODE
from mutatenn.engine.same_code import replaced_kernels, same_code
from mutatenn_backends.llvm import Llvm


class Mute(Llvm):
    """A backend that gives no source."""

    sources = ()


class Strict(Llvm):
    """A backend whose compiler rejects what it is asked to print."""

    def source(self, kernel: Any, kind: str) -> str:
        raise BuildError("rejected")


class Broken(Llvm):
    """A backend whose compiler crashes on what it is asked to print."""

    def source(self, kernel: Any, kind: str) -> str:
        os.kill(os.getpid(), signal.SIGSEGV)
        return ""


def factor(value: float) -> Any:
    return lambda node: ir.tirx.Mul(node, ir.tirx.FloatImm("float32", value))


def at_least(value: float) -> Any:
    return lambda node: ir.tirx.Max(node, ir.tirx.FloatImm("float32", value))


@pytest.fixture(scope="module")
def faults(chain: Any) -> dict[str, Any]:
    """Return a factor of 1 in float32, a bound that no value reaches, and a real fault."""
    return {
        "undone": chain.store("multiply", factor(1 + 1e-8)),
        "unreached": chain.store("matmul", at_least(-1e30)),
        "half": chain.store("matmul", factor(0.5)),
    }


def test_what_the_compiler_undoes_is_equivalent(either: Any, faults: dict[str, Any]) -> None:
    seen = either.run(faults)
    assert (seen["undone"].outcome, seen["undone"].message) == ("equivalent", SAME_MACHINE_CODE)
    assert seen["undone"].executed == len(either.images)
    assert (seen["unreached"].outcome, seen["unreached"].infected.any()) == ("ran", False)
    assert (seen["half"].outcome, seen["half"].infected.all()) == ("ran", True)


def test_with_guards_of_bounds(chain: Any) -> None:
    """They are in the mutant alone, as its poisoned memory is."""
    toolchain = Toolchain(
        chain.toolchain.model, chain.toolchain.backend, chain.toolchain.profile, bounds=True
    )
    bench = attrs.evolve(chain, toolchain=toolchain)
    seen = bench.run({"undone": bench.store("multiply", factor(1 + 1e-8))})
    assert (seen["undone"].outcome, seen["undone"].message) == ("equivalent", SAME_MACHINE_CODE)


def test_a_changed_kernel_knows_its_plain_form(chain: Any) -> None:
    derived = chain.store("softmax", factor(0.5))()
    ((original, plain),) = replaced_kernels(chain.original, derived)
    (changed,) = set(derived.kernels) - set(chain.original.kernels)
    assert derived.kernels[changed].plain is plain
    assert plain.plain is None
    assert original.digest in chain.original.kernels
    assert len({changed, plain.digest, original.digest}) == 3
    assert all(kernel.plain is None for kernel in chain.original.kernels.values())


@pytest.mark.parametrize("other", [Mute, Strict, Broken])
def test_without_code_nothing_can_be_told(chain: Any, faults: dict[str, Any], other: type[Llvm]) -> None:
    derived = faults["undone"]()
    assert same_code(chain.toolchain.backend, chain.original, derived)
    assert not same_code(other(schedules=False), chain.original, derived)


def test_other_wiring_or_constants_are_another_program(chain: Any) -> None:
    original = chain.original
    last = original.calls[-1]
    rewired = attrs.evolve(
        original, calls=(*original.calls[:-1], attrs.evolve(last, arguments=last.arguments[::-1] * 2))
    )
    (value, constant), *others = original.constants.items()
    other = attrs.evolve(constant, digest="0" * 32)
    reweighted = attrs.evolve(original, constants={value: other, **dict(others)})
    assert replaced_kernels(original, original) == []
    assert replaced_kernels(original, rewired) is None
    assert replaced_kernels(original, reweighted) is None
