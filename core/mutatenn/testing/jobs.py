"""A made-up job: a program of two small kernels, and mutants of it that do all that mutants do."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.api.executor import Job, Limits
from mutatenn.api.program import Call, Program
from mutatenn.api.values import TensorSpec
from mutatenn.engine.isolate import call_isolated
from mutatenn.engine.original import run_original
from mutatenn.errors import BuildError
from mutatenn.testing.kernels import block_kernel

if TYPE_CHECKING:
    from mutatenn.api.backend import Backend

SHAPE = (1, 8)
ELEMENT = "A[v0, v1]"
FIRST = f"B[v0, v1] = {ELEMENT} * T.float32(2)"
SECOND = f"B[v0, v1] = T.max({ELEMENT}, T.float32(0))"
LIMITS = Limits(time_floor=0.1, build_seconds=20.0)


def _calls(name: str, number: int) -> str:
    return f'T.evaluate(T.call_extern("int32", "{name}", {number}))\n{SECOND}'


MUTANTS: dict[str, tuple[str, str]] = {
    "hangs": (FIRST, _calls("usleep", 2_000_000_000)),
    "changes-all": (FIRST, f"B[v0, v1] = {ELEMENT} + T.float32(1)"),
    "changes-all-again": (FIRST, f"B[v0, v1] = {ELEMENT} + T.float32(1)"),
    "changes-some": (f"B[v0, v1] = T.min({ELEMENT}, T.float32(1)) * T.float32(2)", SECOND),
    "is-masked": (f"B[v0, v1] = T.if_then_else({ELEMENT} < 0, {ELEMENT}, {ELEMENT} * T.float32(2))", SECOND),
    "gives-nan": (FIRST, f"B[v0, v1] = T.sqrt(T.float32(-1) - {ELEMENT} * {ELEMENT})"),
    "is-equivalent": (FIRST, SECOND),
    "crashes": (FIRST, _calls("raise", 11)),
}
"""The bodies of the two kernels, by mutant."""
DUPLICATES = ("changes-all", "changes-all-again")
REJECTED, UNKNOWN = "is-rejected", "is-unknown"
"""Mutants that the compiler rejects, and that nobody can derive."""
NAMES = (*MUTANTS, REJECTED, UNKNOWN)


def made_job(backend: Backend, **changes: Any) -> Job:
    """Return the job, two mutants at a time, with some fields changed.

    Raises InputError or DeviceLostError where there is no device.
    """
    original = _program(backend, FIRST, SECOND)
    images = np.random.default_rng(4).normal(size=(4, *SHAPE[1:])).astype(np.float32)
    images[0] = np.clip(images[0], None, 0.9)  # unlike the others, no value is above 1
    outputs, _ = call_isolated(lambda: run_original(backend, original, images))
    fields: dict[str, Any] = {
        "backend": backend,
        "original": original,
        "images": images,
        "derive": functools.partial(_derive, backend),
        "expected": outputs,
        "limits": LIMITS,
        "workers": 2,
    }
    return Job(**fields | changes)


def _program(backend: Backend, *bodies: str) -> Program:
    values = tuple(TensorSpec(f"value{number}", SHAPE) for number in range(len(bodies) + 1))
    kernels = [block_kernel(backend, body, *values[:2], axes=SHAPE) for body in bodies]
    calls = tuple(Call(kernel, (number,), (number + 1,)) for number, kernel in enumerate(kernels))
    return Program(values, 0, len(bodies), {}, calls)


def _derive(backend: Backend, mutant: str) -> Program:
    if mutant == REJECTED:
        raise BuildError("there is no such register")
    return _program(backend, *MUTANTS[mutant])
