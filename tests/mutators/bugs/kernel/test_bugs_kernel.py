"""What the faults modelled on compiler bugs do to the numbers a kernel computes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import InfrastructureError, Mutator, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn.engine.isolate import call_isolated
from mutatenn_mutators.bugs.kernel.choice import (
    DropLowerBound,
    DropUpperBound,
    MaxToMin,
    MinToMax,
    SwapBranches,
)
from mutatenn_mutators.bugs.kernel.epilogue import AddAfterActivation
from mutatenn_mutators.bugs.kernel.index import (
    NarrowLoadIndex,
    NarrowStoreIndex,
    OffByOneLoad,
    OffByOneLoadClamped,
    OffByOneStore,
    OffByOneStoreClamped,
)
from mutatenn_mutators.bugs.kernel.memory import DropBarrier, ReadOverwritten
from mutatenn_mutators.bugs.kernel.padding import DropPaddingGuard, ReplicatePadding, SkipPaddingStore
from mutatenn_mutators.bugs.kernel.reduction import (
    AccumulateFloat16,
    DropReductionInit,
    ParallelizeReduction,
    RepeatReductionInit,
    SkipLastReductionStep,
)
from mutatenn_mutators.bugs.kernel.rounding import RoundDivisionUp, RoundToFloor, TruncateDivision
from mutatenn_mutators.bugs.kernel.vector import DropVectorTail

Run = Callable[..., NDArray[np.float32]]

NUMBERS = np.array([-3, 8, 2.5, -0.5, 7, 1.5, 0.25, 5], np.float32)
OUTSIDE = np.frombuffer(b"\x3f" * 4, np.float32)[0]
"""What a load out of bounds finds beside an array."""
NAN = np.float32(np.nan)


def kernel(*lines: str, size: int = 8, loop: str = "range", scratch: str = "") -> Any:
    """Return a kernel that computes ``B`` from ``A``, by lines within a loop over ``i``."""
    body = "\n".join(" " * 8 + line for line in lines)
    header = f'@T.prim_func(private=True, s_tir=True)\ndef main(A: T.Buffer(({size},), "float32"),'
    ahead = f'{header} B: T.Buffer(({size},), "float32")):\n    {scratch or "pass"}\n'
    return ir.script.from_source(f"{ahead}    for i in {loop}({size}):\n{body}\n")


SUM = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((2, 4), "float32"), B: T.Buffer((2,), "float32")):
    for i, k in T.grid(2, 4):
        with T.sblock("sum"):
            v, r = T.axis.remap("SR", [i, k])
            T.reads(A[v, r])
            T.writes(B[v])
            with T.init():
                B[v] = T.float32(0)
            B[v] = B[v] + A[v, r]
"""
ROWS = NUMBERS.reshape(2, 4)


def faulty(run: Run, mutator: Mutator, function: Any, *arguments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a kernel with one fault at its last site computes, in a process of its own."""
    changed = mutator.apply(function, [len(mutator.sites(function)) - 1])
    return call_isolated(functools.partial(run, changed, *arguments))


def assert_same(found: NDArray[np.float32], *expected: Any) -> None:
    np.testing.assert_array_equal(found, np.concatenate([np.atleast_1d(each) for each in expected]))


def test_a_load_off_by_one(run_kernel: Run) -> None:
    function = kernel("B[i] = A[i]")
    assert_same(faulty(run_kernel, OffByOneLoad(), function, NUMBERS), NUMBERS[1:], OUTSIDE)
    assert_same(
        faulty(run_kernel, OffByOneLoad(amount=-2), function, NUMBERS), OUTSIDE, OUTSIDE, NUMBERS[:-2]
    )
    assert_same(faulty(run_kernel, OffByOneLoadClamped(), function, NUMBERS), NUMBERS[1:], NUMBERS[-1])
    assert_same(
        faulty(run_kernel, OffByOneLoadClamped(amount=-1), function, NUMBERS), NUMBERS[0], NUMBERS[:-1]
    )


def test_a_store_off_by_one(run_kernel: Run) -> None:
    function = kernel("B[i] = A[i]")
    assert_same(faulty(run_kernel, OffByOneStore(), function, NUMBERS), NAN, NUMBERS[:-1])
    assert_same(faulty(run_kernel, OffByOneStoreClamped(), function, NUMBERS), NAN, NUMBERS[:6], NUMBERS[7])


def test_vectors_are_off_by_one_too(run_kernel: Run, target: Any) -> None:
    function = lower_kernel(kernel("B[i] = A[i]", loop="T.vectorized"), target)
    changed = OffByOneLoadClamped().apply(function, [0])
    found = call_isolated(lambda: run_kernel(changed, NUMBERS, lowered=True))
    assert_same(found, NUMBERS[1:], NUMBERS[-1])


def test_the_index_of_the_last_axis_with_more_than_one_element_is_off() -> None:
    function = ir.script.from_source(
        "@T.prim_func(private=True, s_tir=True)\n"
        'def main(A: T.Buffer((4, 3, 1), "float32"), B: T.Buffer((1, 1), "float32")):\n'
        "    for i, j in T.grid(4, 3):\n        B[0, 0] = A[i, j, 0]\n"
    )
    assert OffByOneLoad().sites(function) == ["A[i, j, 0]"]
    assert OffByOneStore().sites(function) == []
    assert "A[i, T.min(j + 1, 2), 0]" in OffByOneLoadClamped().apply(function, [0]).script()


def test_a_narrow_index_wraps_around(run_kernel: Run) -> None:
    numbers = np.arange(200, dtype=np.float32)
    function = kernel("B[i] = A[i]", size=200)
    for mutator in (NarrowLoadIndex(), NarrowLoadIndex(bits=16), NarrowStoreIndex(bits=32)):
        assert len(mutator.sites(function)) == (mutator.bits == 8)
    assert_same(faulty(run_kernel, NarrowLoadIndex(), function, numbers), numbers[:128], np.full(72, OUTSIDE))
    assert_same(faulty(run_kernel, NarrowStoreIndex(), function, numbers), numbers[:128], np.full(72, NAN))
    assert NarrowLoadIndex().sites(kernel("B[i] = A[i]", size=128)) == []


def test_index_types_are_8_16_or_32_bits_wide() -> None:
    with pytest.raises(ValueError, match="bits"):
        NarrowLoadIndex(bits=24)


def test_an_index_that_is_off_is_another() -> None:
    with pytest.raises(ValueError, match="option 'amount' must be a number other than 0, not 0"):
        OffByOneStore(amount=0)


def test_literals_that_fit_are_not_narrowed() -> None:
    function = kernel("B[i] = A[127]", "B[i] = A[128]", size=200)
    assert NarrowLoadIndex().sites(function) == ["A[128]"]
    vectors = kernel("B[i] = A[i]", size=200, loop="T.vectorized")
    assert len(NarrowLoadIndex().sites(vectors)) == 1


def test_bounds_are_swapped_or_dropped(run_kernel: Run) -> None:
    relu6 = kernel("B[i] = T.max(T.min(A[i], T.float32(6)), T.float32(0))")
    assert_same(faulty(run_kernel, MinToMax(), relu6, NUMBERS), np.maximum(NUMBERS, 6))
    assert_same(faulty(run_kernel, MaxToMin(), relu6, NUMBERS), np.minimum(NUMBERS, 0))
    assert_same(faulty(run_kernel, DropLowerBound(), relu6, NUMBERS), np.minimum(NUMBERS, 6))
    assert_same(faulty(run_kernel, DropUpperBound(), relu6, NUMBERS), np.maximum(NUMBERS, 0))


def test_what_bounds_nothing_is_no_bound() -> None:
    lowest, highest = "T.float32(-3.4028234663852886e38)", "T.float32(3.4028234663852886e38)"
    function = kernel(
        f"B[i] = T.max(A[i], {lowest})",
        f"B[i] = T.min(A[i], {highest})",
        "B[i] = T.max(A[i], A[7 - i])",
        "B[i] = T.max(T.float32(1), A[i])",
    )
    assert DropLowerBound().sites(function) == ["T.max(T.float32(1.0), A[i])"]
    assert DropUpperBound().sites(function) == []


@pytest.mark.parametrize("form", ["if_then_else", "Select"])
def test_branches_are_swapped(run_kernel: Run, form: str) -> None:
    function = kernel(f"B[i] = T.{form}(i < 3, A[i], T.float32(9))")
    assert_same(faulty(run_kernel, SwapBranches(), function, NUMBERS), np.full(3, np.float32(9)), NUMBERS[3:])
    assert SwapBranches().sites(kernel(f"B[i] = T.{form}(i < 3, A[i], A[i])")) == []


def test_padding_goes_wrong(run_kernel: Run) -> None:
    function = kernel("B[i] = T.if_then_else(2 <= i, A[i - 2], T.float32(0))")
    assert_same(faulty(run_kernel, DropPaddingGuard(), function, NUMBERS), OUTSIDE, OUTSIDE, NUMBERS[:6])
    assert_same(faulty(run_kernel, ReplicatePadding(), function, NUMBERS), *NUMBERS[[0, 0]], NUMBERS[:6])
    assert_same(faulty(run_kernel, SkipPaddingStore(), function, NUMBERS), NAN, NAN, NUMBERS[:6])


def test_other_conditionals_are_no_padding() -> None:
    function = kernel(
        "B[i] = T.if_then_else(2 <= i, A[i - 2], A[0])",
        "B[i] = T.if_then_else(2 <= i, T.float32(1), T.float32(0))",
        "B[i] = T.exp(A[i])",
    )
    assert [len(each().sites(function)) for each in (DropPaddingGuard, ReplicatePadding)] == [0, 0]
    inside = kernel("B[i] = T.if_then_else(2 <= i, A[i - 2], T.float32(0)) + A[i]")
    assert len(DropPaddingGuard().sites(inside)) == 1
    assert SkipPaddingStore().sites(inside) == []


def test_reductions_go_wrong(run_kernel: Run) -> None:
    function = ir.script.from_source(SUM)
    assert_same(run_kernel(function, ROWS), ROWS.sum(axis=1))
    assert_same(faulty(run_kernel, DropReductionInit(), function, ROWS), NAN, NAN)
    assert_same(faulty(run_kernel, RepeatReductionInit(), function, ROWS), ROWS[:, -1])
    assert_same(faulty(run_kernel, SkipLastReductionStep(), function, ROWS), ROWS[:, :-1].sum(axis=1))
    assert_same(faulty(run_kernel, ParallelizeReduction(), function, ROWS), ROWS.sum(axis=1))  # on one thread


def test_sums_are_rounded_to_half_precision_at_every_step(run_kernel: Run) -> None:
    values = np.array([[2048, 1, 1, 1], [0.1, 0.2, 0.3, 0.4]], np.float32)
    expected = np.zeros(2, np.float16)
    for column in values.astype(np.float16).T:
        expected += column
    found = faulty(run_kernel, AccumulateFloat16(), ir.script.from_source(SUM), values)
    assert_same(found, expected.astype(np.float32))
    assert found[0] == 2048 < values[0].sum()


def test_a_single_step_is_no_reduction() -> None:
    function = ir.script.from_source(SUM.replace("(2, 4)", "(2, 1)"))
    assert len(DropReductionInit().sites(function)) == 1
    for mutator in (RepeatReductionInit(), SkipLastReductionStep(), ParallelizeReduction()):
        assert mutator.sites(function) == []


LOOPS = """
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((32,), "float32"), B: T.Buffer((2,), "float32")):
    sums = T.alloc_local((1,), "float32")
    for rows in range(2):
        sums[0] = T.float32(0)
        for first in range(2):
            offset: T.let[T.int32] = rows * 16 + first * 8
            for second in range(4):
                sums[0] = sums[0] + A[offset + second]
        for rest in range(3):
            if rest == 0:
                B[rows] = sums[0]
            B[rows] = T.max(B[rows], A[rest])
    for each in range(2):
        B[each] = B[each] * T.float32(2)
"""


def test_reductions_are_found_without_blocks() -> None:
    function = ir.script.from_source(LOOPS)
    assert SkipLastReductionStep().sites(function) == [
        "for second in range(4):",
        "for first in range(2):",
        "for rest in range(3):",
    ]


def test_steps_do_not_run_in_parallel_around_parallel_loops() -> None:
    function = ir.script.from_source(LOOPS.replace("second in range", "second in T.parallel"))
    assert ParallelizeReduction().sites(function) == ["for rest in range(3):"]


def test_memory_is_given_away_too_early(run_kernel: Run) -> None:
    lines = "C[i] = A[i] * T.float32(3)", "B[i] = C[i] + A[i]"
    function = kernel(*lines, scratch="C = T.sblock_alloc_buffer((8,))")
    assert ReadOverwritten().sites(function) == ["A[i]"]
    assert_same(faulty(run_kernel, ReadOverwritten(), function, NUMBERS), NUMBERS * 6)


def test_memory_is_given_to_what_fits_and_comes_later() -> None:
    other = kernel("C[i] = A[i]", "B[i] = C[i] + A[i]", scratch="C = T.sblock_alloc_buffer((9,))")
    assert ReadOverwritten().sites(other) == []
    same = kernel("B[i] = A[i]", "B[i] = B[i] + A[i]")
    assert ReadOverwritten().sites(same) == []


def test_an_activation_comes_before_the_sum(run_kernel: Run) -> None:
    lines = "C[i] = A[i] + T.float32(2)", "B[i] = T.max(C[i], T.float32(0))"
    function = kernel(*lines, scratch="C = T.sblock_alloc_buffer((8,))")
    assert AddAfterActivation().sites(function) == ["B[i] = T.max(C[i], T.float32(0.0))"]
    assert_same(faulty(run_kernel, AddAfterActivation(), function, NUMBERS), np.maximum(NUMBERS, 0) + 2)


def test_what_the_kernel_computes_is_activated_of_a_residual() -> None:
    lines = "C[i] = A[i] * A[i]", "D[i] = A[i] + C[i]", "B[i] = T.tanh(D[i])"
    changed = AddAfterActivation().apply(two_stages(*lines), [0]).script()
    assert "D[i] = A[i] + T.tanh(C[i])" in changed
    assert "B[i] = D[i]" in changed


def two_stages(*lines: str) -> Any:
    scratch = "C = T.sblock_alloc_buffer((8,))\n    D = T.sblock_alloc_buffer((8,))"
    return kernel(*lines, scratch=scratch)


def test_a_sum_that_is_read_elsewhere_is_left_alone() -> None:
    lines = "C[i] = A[i] + T.float32(2)", "B[i] = T.max(C[i], T.float32(0))", "B[i] = B[i] + C[i]"
    assert AddAfterActivation().sites(two_stages(*lines)) == []


def test_divisions_round_in_other_directions(run_kernel: Run) -> None:
    function = kernel("B[i] = A[(i - 2) // 4 + 1]")
    places = np.arange(8) - 2
    assert_same(run_kernel(function, NUMBERS), NUMBERS[places // 4 + 1])
    assert_same(faulty(run_kernel, RoundDivisionUp(), function, NUMBERS), NUMBERS[-(-places // 4) + 1])
    truncated = np.trunc(places / 4).astype(int) + 1
    assert_same(faulty(run_kernel, TruncateDivision(), function, NUMBERS), NUMBERS[truncated])


def test_only_negative_numbers_are_truncated_otherwise() -> None:
    function = kernel("B[i] = A[(i + 3) // 4] + A[(i - 4) % 8] + A[(i * 2 + 4) % 8]")
    assert TruncateDivision().sites(function) == ["(i - 4) % 8"]
    assert RoundDivisionUp().sites(kernel("B[i] = A[i] / T.float32(4)")) == []


def test_numbers_are_rounded_down(run_kernel: Run) -> None:
    function = kernel("B[i] = T.round(A[i])")
    assert_same(run_kernel(function, NUMBERS), np.round(NUMBERS))
    assert_same(faulty(run_kernel, RoundToFloor(), function, NUMBERS), np.floor(NUMBERS))


def test_the_tail_of_a_vector_is_dropped(run_kernel: Run) -> None:
    function = kernel("B[i] = A[i]")
    assert_same(faulty(run_kernel, DropVectorTail(width=3), function, NUMBERS), NUMBERS[:6], NAN, NAN)
    for width in (4, 8, 9):
        assert DropVectorTail(width=width).sites(function) == []


def test_barriers_are_dropped_one_by_one() -> None:
    function = kernel(
        "B[i] = A[i]", 'T.tvm_storage_sync("shared")', "T.evaluate(i)", 'T.tvm_storage_sync("warp")'
    )
    scopes = [site.split('"')[1] for site in DropBarrier().sites(function)]
    assert scopes == ["shared", "warp"]
    changed = DropBarrier().apply(function, [1]).script()
    assert '"shared"' in changed
    assert '"warp"' not in changed


def test_what_stores_out_of_bounds_harms_its_own_process_alone(run_kernel: Run) -> None:
    function = kernel("B[i] = A[i]")
    with pytest.raises(InfrastructureError, match="the process died of SIG"):
        faulty(run_kernel, OffByOneStore(amount=2**28), function, NUMBERS)
