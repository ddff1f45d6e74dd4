"""Random small networks compute what onnxruntime computes, in whatever way they are compiled.

A failure prints the network and its seed; ``MUTATENN_SEEDS=17 python -m pytest -m soak
tests/random_graphs`` tries one seed again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest

from random_nets import LARGEST, SMALLEST, draw
from random_nets.check import TOLERANCE, Case, Together, check, compare
from random_nets.mutants import check_mutants, derive, differences

BATCH = 25
SEEDS = os.environ.get("MUTATENN_SEEDS") or "100-4999"
"""Of the soak test: one, or from-to."""
KINDS = """
    Abs Add AveragePool BatchNormalization Clip Concat Conv Div Elu Erf Exp Flatten Gemm GlobalAveragePool
    GlobalMaxPool HardSigmoid HardSwish LeakyRelu LogSoftmax MatMul Max MaxPool Mean Min Mul Neg PRelu Pad
    ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Sigmoid Slice Softmax Softplus Sqrt Squeeze Sub Sum
    Tanh Transpose Unsqueeze
"""


def batches(seeds: str) -> list[range]:
    first, _, last = seeds.partition("-")
    end = int(last or first) + 1
    return [range(start, min(start + BATCH, end)) for start in range(int(first), end, BATCH)]


def name(seeds: range) -> str:
    return f"{seeds[0]}-{seeds[-1]}"


def assert_sound(cases: Sequence[Case]) -> None:
    faulty = [str(case) for case in cases if case.faults]
    if faulty:
        pytest.fail("\n\n".join(faulty), pytrace=False)


def examine(seeds: Sequence[int], folder: Path, mutated: Sequence[int]) -> int:
    """Check networks, and mutants of some; return how many mutants."""
    device = Together()
    cases = check(seeds, folder, device)
    mutants = check_mutants([case for case in cases if case.seed in mutated], device)
    assert_sound(cases)
    return mutants


def test_a_few_networks(tmp_path: Path) -> None:
    assert examine(range(4), tmp_path, mutated=range(2))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", batches("0-99"), ids=name)
def test_networks(seeds: range, tmp_path: Path) -> None:
    assert examine(seeds, tmp_path, mutated=seeds[::5])


@pytest.mark.soak
@pytest.mark.parametrize("seeds", batches(SEEDS), ids=name)
def test_many_networks(seeds: range, tmp_path: Path) -> None:
    assert examine(seeds, tmp_path, mutated=seeds)


def test_a_difference_is_noticed(tmp_path: Path) -> None:
    """Of as little as the tolerance; and of a mutant that should be another."""
    device = Together()
    (case,) = check([3], tmp_path, device, ["basic"])
    assert_sound([case])
    case.expected = case.expected + 1.1 * TOLERANCE * np.ptp(case.expected)
    compare(case, device)
    assert [fault.partition(" by ")[0] for fault in case.faults] == [
        "basic with schedules: differs from onnxruntime",
        "basic without schedules: differs from onnxruntime",
    ]
    mutant = next(derive(case, case.toolchains[True]))
    assert not list(differences(mutant, device))
    assert "another program where nothing was compiled before" in differences(
        attrs.evolve(mutant, afresh=mutant.original), device
    )


@pytest.mark.slow
def test_every_operator_is_drawn() -> None:
    protos = [draw(seed) for seed in range(500)]
    assert {node.op_type for proto in protos for node in proto.graph.node} == set(KINDS.split())
    assert {len(proto.graph.node) for proto in protos} == set(range(SMALLEST, LARGEST + 1))
    assert draw(7) == protos[7]
