"""Which bounds of loops change, and what the kernels then compute."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import KernelMutator, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.engine.isolate import call_isolated
from mutatenn_mutators.published_code.loops import (
    DecreaseLoopExtent,
    DecreaseLoopMinimum,
    IncreaseLoopExtent,
    IncreaseLoopMinimum,
    mutatenn_mutators,
)

Run = Callable[..., NDArray[np.float32]]

NUMBERS = np.arange(1, 9, dtype=np.float32)
OUTSIDE = np.frombuffer(b"\x3f" * 4, np.float32)[0]
NAN = np.float32(np.nan)

COPY = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.sblock("copy"):
            v = T.axis.spatial(8, i)
            T.reads(A[v])
            T.writes(B[v])
            B[v] = A[v]
"""
# Each store shows which element of A its step has read.
REVERSED = COPY.replace("B[v] = A[v]", "B[7 - v] = A[v]").replace("T.writes(B[v])", "T.writes(B[7 - v])")


@pytest.mark.parametrize("source", [COPY, REVERSED], ids=["copied", "reversed"])
def test_a_loop_runs_shorter_or_elsewhere(run_kernel: Run, source: str) -> None:
    def check(mutator: KernelMutator, *expected: Any) -> None:
        changed = mutator.apply(ir.script.from_source(source), [0])
        found = call_isolated(functools.partial(run_kernel, changed, NUMBERS))
        if source is REVERSED:
            found = found[::-1]
        np.testing.assert_array_equal(found, np.concatenate([np.atleast_1d(each) for each in expected]))

    check(DecreaseLoopExtent(), NUMBERS[:7], NAN)
    check(DecreaseLoopExtent(amount=3), NUMBERS[:5], NAN, NAN, NAN)
    check(IncreaseLoopExtent(), NUMBERS)  # one more is written behind the array
    check(IncreaseLoopMinimum(), NAN, NUMBERS[1:])
    check(DecreaseLoopMinimum(amount=2), NUMBERS[:6], NAN, NAN)


def test_a_longer_loop_reads_out_of_bounds(run_kernel: Run) -> None:
    source = COPY.replace("(8,)", "(4,)", 1).replace("8", "4").replace("B: T.Buffer((4,)", "B: T.Buffer((5,)")
    changed = IncreaseLoopExtent().apply(ir.script.from_source(source), [0])
    found = call_isolated(functools.partial(run_kernel, changed, NUMBERS[:4]))
    np.testing.assert_array_equal(found, [*NUMBERS[:4], OUTSIDE])


def test_a_scheduler_does_not_undo_the_change(run_kernel: Run) -> None:
    for mutator in (DecreaseLoopExtent(), IncreaseLoopMinimum()):
        changed = mutator.apply(ir.script.from_source(REVERSED), [0])
        found = [
            call_isolated(functools.partial(run_kernel, changed, NUMBERS, schedule=schedule))
            for schedule in (False, True)
        ]
        np.testing.assert_array_equal(*found)
        assert np.isnan(found[0]).any()


KINDS = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32"), n: T.int32):
    for a in range(2):
        B[a] = A[a]
    for b in T.vectorized(4):
        B[b] = A[b]
    for c in T.unroll(2):
        B[c] = A[c]
    for d in T.parallel(2):
        B[d] = A[d]
    for e in range(n):
        B[e] = A[e]
    for f in range(1):
        B[f] = A[f]
    for g in T.thread_binding(8, thread="threadIdx.x"):
        B[g] = A[g]
"""


@pytest.mark.parametrize(
    ("mutator", "loops"),
    [
        (IncreaseLoopExtent(), "abcdf"),
        (DecreaseLoopExtent(), "abcd"),
        (DecreaseLoopExtent(amount=2), "b"),
        (IncreaseLoopMinimum(), "acef"),
        (DecreaseLoopMinimum(), "acef"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_loops_that_can_change(mutator: KernelMutator, loops: str) -> None:
    sites = mutator.sites(ir.script.from_source(KINDS))
    assert "".join(site.split()[1] for site in sites) == loops


def test_bounds_keep_their_type() -> None:
    function = ir.script.from_source(COPY.replace("(8)", "(T.int64(8))").replace("(8, i)", "(T.int64(8), i)"))
    changed = IncreaseLoopMinimum().apply(IncreaseLoopExtent().apply(function, [0]), [0])
    assert "range(T.int64(1), T.int64(10))" in changed.script()


@pytest.mark.parametrize("amount", [0, -1])
def test_the_amount_is_positive(amount: int) -> None:
    with pytest.raises(ValueError, match="amount"):
        IncreaseLoopExtent(amount=amount)


@pytest.mark.parametrize("stage", ["schedulable", "scheduled", "lowered"])
@pytest.mark.parametrize("operator", mutatenn_mutators(), ids=lambda operator: operator.name)
def test_every_site_is_lowered(
    operator: type[KernelMutator], stage: str, stages: dict[str, list[Any]], target: Any
) -> None:
    for function in stages[stage]:
        for site in range(len(operator().sites(function))):
            changed = operator().apply(function, [site])
            assert not ir.ffi.structural_equal(changed, function)
            if stage != "lowered":
                lower_kernel(changed, target)
