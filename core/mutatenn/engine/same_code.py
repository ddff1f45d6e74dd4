"""Tells whether a mutant's generated code is the original's very code, as compilers undo some mutations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutatenn.compiler.lowering import Lowering
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import BuildError, InfrastructureError, InputError

if TYPE_CHECKING:
    from mutatenn.api.backend import Backend
    from mutatenn.api.program import Kernel, Program


UNCHANGED = "the mutation left the IR structurally equal to the original's"
SAME_CODE = "lowered, the changed IR is the original's very code"
SAME_MACHINE_CODE = "built, the changed code is the original's very machine code"


def same_program(original: Program, changed: Program) -> str:
    """Return why a changed program is the original, "" if it is not: by its IR, or by its lowered code."""
    if changed.identity != original.identity:
        return ""
    return UNCHANGED if changed is original else SAME_CODE


def same_code(backend: Backend, original: Program, changed: Program) -> bool:
    """Tell whether the code generated for a changed program is the original's, in text.

    False as well where that cannot be told: the backend gives no source, or the programs are not wired alike.
    What only mutants get, such as poisoned memory, is left out. The compiler works in a process of its own:
    what has just run in this one may have damaged its memory.
    """
    pairs = replaced_kernels(original, changed) if backend.sources else None
    if pairs is None:
        return False

    def compare() -> bool:
        lowering = Lowering(backend)
        return all(lowering.code(one) == lowering.code(other) for one, other in pairs)

    try:
        return call_isolated(compare)
    except (BuildError, InputError, InfrastructureError):
        return False


def replaced_kernels(original: Program, changed: Program) -> list[tuple[Kernel, Kernel]] | None:
    """Return (original, plain changed) of each kernel that stands in another's place, each pair once.

    None where the two programs differ in more than kernels: in calls, constants, shapes or dtypes.
    """
    if _wiring(original) != _wiring(changed):
        return None
    pairs = {}
    for one, other in zip(original.calls, changed.calls, strict=True):
        plain = other.kernel.plain or other.kernel
        if one.kernel.digest != plain.digest:
            pairs[one.kernel.digest, plain.digest] = one.kernel, plain
    return list(pairs.values())


def _wiring(program: Program) -> object:
    """Return all of a program but its kernels, and names."""
    return (
        program.input,
        program.output,
        [(spec.shape, spec.dtype) for spec in program.values],
        {value: constant.digest for value, constant in program.constants.items()},
        [(call.arguments, call.results) for call in program.calls],
    )
