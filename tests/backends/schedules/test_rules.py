"""Rules decline kernels that are not theirs; nothing they meet becomes an error."""

from __future__ import annotations

from typing import Any

import pytest

from mutatenn import ir
from mutatenn_backends._schedules.cpu import RULES, apply_schedules
from mutatenn_backends.llvm import Llvm

HEADER = "@T.prim_func(private=True, s_tir=True)\ndef main({params}):\n{body}"
BUFFERS = 'A: T.Buffer((T.int64(8),), "float32"), B: T.Buffer((T.int64(8),), "float32")'
PLAIN_LOOP = "    for i in range(8):\n        B[i] = A[i] + A[7 - i]"
TWO_STORES = """
    for i in range(T.int64(8)):
        with T.sblock("twice"):
            v = T.axis.spatial(T.int64(8), i)
            B[v] = A[v]
            B[v] = A[v] + T.float32(1)
"""
PART_OF_THE_RESULT = """
    for i in range(T.int64(4)):
        with T.sblock("half"):
            v = T.axis.spatial(T.int64(8), i)
            B[v] = A[v]
"""
PREDICATE = """
    for i in range(T.int64(8)):
        with T.sblock("some"):
            v = T.axis.spatial(T.int64(8), i)
            T.where(i < T.int64(5))
            B[v] = A[v]
"""
RUNNING_SUM = """
    for i in range(T.int64(8)):
        with T.sblock("scan"):
            v = T.axis.spatial(T.int64(8), i)
            B[v] = A[v] + B[T.max(v - T.int64(1), T.int64(0))]
"""
DATA_DEPENDENT_GUARD = """
    for i in range(T.int64(8)):
        with T.sblock("guard"):
            v = T.axis.spatial(T.int64(8), i)
            B[v] = T.if_then_else(A[v] < T.float32(0), A[v], T.float32(2))
"""
FOREIGN = [PLAIN_LOOP, TWO_STORES, PART_OF_THE_RESULT, PREDICATE, RUNNING_SUM, DATA_DEPENDENT_GUARD]


def parse(body: str, params: str = BUFFERS) -> Any:
    return ir.script.from_source(HEADER.format(params=params, body=body))


@pytest.mark.parametrize("body", FOREIGN)
def test_foreign_kernels_stay_as_they_are(native: Any, body: str) -> None:
    kernel = parse(body)
    assert [rule(kernel, native.target) for rule in RULES] == [None] * len(RULES)
    assert apply_schedules(kernel, native.target).same_as(kernel)


def test_an_error_in_a_rule_is_no_error(native: Any) -> None:
    broken = object()
    assert apply_schedules(broken, native.target) is broken


def test_each_rule_declines_the_others_kernels(native: Any, make_graph: Any) -> None:
    op = ir.relax.op
    product = make_graph(lambda x, w: op.nn.conv2d(x, w), (1, 8, 8, 8), (8, 8, 1, 1))
    window = make_graph(lambda x: op.nn.max_pool2d(x, (3, 3)), (1, 8, 8, 8))
    stream = make_graph(op.matmul, (1, 512), (512, 256))
    sums = make_graph(lambda x: op.mean(x, (2, 3)), (1, 24, 5, 5))
    chain = make_graph(lambda x: op.nn.relu(op.exp(x)), (1, 3, 5, 5))
    expected = ["tile_products", "tile_windows", "stream_products", "sum_side_by_side", "map_elements"]
    kernels = [kernel for graph in (product, window, stream, sums, chain) for kernel in native.kernels(graph)]
    found = [native.rule_of(kernel)[0] for kernel in kernels]
    assert found == expected


@pytest.mark.parametrize(("mcpu", "lanes"), [("x86-64", 4), ("x86-64-v3", 8), ("x86-64-v4", 16)])
def test_vectors_follow_the_target(native: Any, make_graph: Any, mcpu: str, lanes: int) -> None:
    """Scheduling for a processor does not need it."""
    (kernel,) = native.kernels(make_graph(lambda x: ir.relax.op.nn.relu(x), (1, 4, 64)))
    target = Llvm(mcpu=mcpu, mtriple="x86_64-unknown-linux-gnu").target()
    assert f"T.vectorized(T.int64({lanes}))" in apply_schedules(kernel, target).script()


def test_guards_are_gone_and_sums_are_local(native: Any, make_graph: Any) -> None:
    op = ir.relax.op
    graph = make_graph(lambda x, w: op.nn.conv2d(x, w, padding=(1, 1)), (1, 8, 20, 20), (8, 8, 3, 3))
    (kernel,) = native.kernels(graph)
    script = apply_schedules(kernel, native.target).script()
    assert "if_then_else" in kernel.script()
    assert "if_then_else" not in script
    assert 'scope="local"' in script
