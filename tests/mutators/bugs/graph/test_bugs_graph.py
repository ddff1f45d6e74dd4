"""Operators modelled on real bugs: what they promise, where they apply, what they leave alone."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from mutatenn import Example, GraphMutator, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.bugs.graph import epilogue, numerics, order, padding, weights, windows

MODULES = (
    windows,
    padding,
    weights,
    epilogue,
    order,
    numerics,
)
OPERATORS: dict[str, type[GraphMutator]] = {
    operator.name: operator for module in MODULES for operator in module.mutatenn_mutators()
}
EXAMPLES = [
    pytest.param(operator, example, id=f"{name}-{number}")
    for name, operator in OPERATORS.items()
    for number, example in enumerate(operator.examples())
]
DIGITS_SITES = {
    "swap-stride-dilation": 1,
    "ignore-stride": 2,
    "pad-at-start": 5,
    "swap-weight-layout": 5,
    "rotate-kernel": 5,
    "ignore-groups": 2,
    "round-weights": 8,
    "drop-bias": 1,
    "bias-first-channel": 1,
    "overwritten-operand": 2,
    "activation-before-add": 2,
    "softmax-axis": 1,
    "softmax-without-max": 1,
    "fast-exp": 1,
    "average-to-sum": 1,
    "batch-norm-without-epsilon": 7,
    "batch-norm-of-image": 7,
}

UNKNOWN_SITES = {
    "swap-padding-sides": 1,
    "pad-at-start": 1,
    "swap-weight-layout": 1,
    "rotate-kernel": 1,
    "round-weights": 1,
    "softmax-without-max": 1,
    "fast-exp": 1,
}
"""Where sizes do not matter."""

CONV = {"x": (1, 2, 8, 8), "w": (2, 2, 3, 3)}
POINT = {"x": (1, 2, 8, 8), "w": (4, 2, 1, 1)}
IMAGE = {"x": (1, 2, 7, 7)}
ROW = {"x": (1, 8)}
REFUSED = {
    "swap-strides": [
        ("y = R.nn.conv2d(x, w, strides=[2, 2])", CONV),
        ("y = R.nn.max_pool2d(x, pool_size=[7, 7], strides=[2, 1])", IMAGE),
    ],
    "swap-stride-dilation": [("y = R.nn.conv2d(x, w, strides=[2, 2], dilation=[2, 2])", CONV)],
    "ignore-stride": [
        ("y = R.nn.conv2d(x, w)", CONV),
        ("y = R.nn.max_pool2d(x, pool_size=[7, 7], strides=[7, 7])", IMAGE),
    ],
    "ignore-dilation": [
        ("y = R.nn.conv2d(x, w)", CONV),
        ("y = R.nn.conv2d(x, w, dilation=[2, 2])", POINT),
    ],
    "swap-padding-sides": [
        ("y = R.nn.conv2d(x, w, padding=[1, 2, 1, 2])", CONV),
        ("y = R.nn.pad(x, [0, 0, 0, 0, 1, 1, 2, 2])", IMAGE),
    ],
    "pad-at-start": [
        ("y = R.nn.conv2d(x, w, padding=[0, 0, 1, 1])", CONV),
        ("y = R.nn.max_pool2d(x, pool_size=[2, 2], padding=[1, 1, 1, 1])", IMAGE),
    ],
    "pool-floor-for-ceil": [
        ("y = R.nn.max_pool2d(x, pool_size=[3, 3], strides=[2, 2], ceil_mode=True)", IMAGE),
        ("y = R.nn.max_pool2d(x, pool_size=[2, 2], strides=[2, 2])", IMAGE),
        ("y = R.nn.max_pool2d(x, pool_size=[3, 3], strides=[3, 3], padding=[1, 1, 1, 1])", IMAGE),
    ],
    "flip-count-include-pad": [("y = R.nn.avg_pool2d(x, pool_size=[2, 2])", IMAGE)],
    "max-pool-pad-zero": [
        ("y = R.nn.max_pool2d(x, pool_size=[3, 3])", IMAGE),
        ("r = R.nn.relu(x)\ny = R.nn.max_pool2d(r, pool_size=[3, 3], padding=[1, 1, 1, 1])", IMAGE),
        (
            """
            r = R.clip(x, 0, 6)
            s = R.sigmoid(x)
            c = R.concat((r, s), axis=1)
            y = R.nn.max_pool2d(c, pool_size=[3, 3], padding=[1, 1, 1, 1])
            """,
            IMAGE,
        ),
    ],
    "swap-weight-layout": [
        ("y = R.nn.conv2d(x, w, groups=2)", {"x": (1, 2, 8, 8), "w": (2, 1, 3, 3)}),
        ("y = R.matmul(x, w)", {"x": (1, 8), "w": (8, 1)}),
        ("y = R.matmul(x, w)", {"x": (2, 4, 8), "w": (2, 8, 4)}),
    ],
    "rotate-kernel": [("y = R.nn.conv2d(x, w)", POINT)],
    "ignore-groups": [("y = R.nn.conv2d(x, w)", CONV)],
    "round-weights": [('y = R.matmul(x, R.const([[0.5], [2.0]], "float32"))', {"x": (1, 2)})],
    "drop-bias": [
        ("y = R.add(a, b)", {"a": (1, 8), "b": (1, 8)}),
        ("y = R.add(a, b)", {"a": (1, 4, 1, 1), "b": (1, 1, 8, 8)}),
        ('y = R.add(x, R.const([[1.0], [2.0]], "float32"))', ROW),
    ],
    "bias-first-channel": [
        ("y = R.add(x, b)", {"x": (1, 2, 8, 8), "b": (1, 1, 1, 1)}),
        ("y = R.add(x, b)", {"x": (1, 2, 8, 8), "b": (2, 8, 8)}),
    ],
    "overwritten-operand": [
        ("y = R.add(x, x)", ROW),
        ("y = R.add(x, b)", {"x": (2, 8), "b": (8,)}),
        ("y = R.concat((x, x), axis=1)", ROW),
    ],
    "activation-before-add": [
        ("y = R.nn.relu(x)", ROW),
        ("m = R.multiply(x, x)\ny = R.nn.relu(m)", ROW),
        ("s = R.add(a, b)\ny = R.nn.relu(s)", {"a": (4, 1), "b": (1, 8)}),
    ],
    "drop-clip-max": [('y = R.clip(x, 0, T.float64("inf"))', ROW)],
    "drop-clip-min": [('y = R.clip(x, T.float64("-inf"), 6)', ROW)],
    "softmax-axis": [("y = R.nn.softmax(x, axis=1)", {"x": (1, 1)}), ("y = R.nn.softmax(x)", {"x": (8,)})],
    "swap-concat-operands": [("y = R.concat((x, x), axis=1)", ROW)],
    "transpose-as-reshape": [
        ("y = R.permute_dims(x, [0, 2, 1])", {"x": (3, 1, 4)}),
        ("y = R.permute_dims(x, [0, 1, 2, 3])", IMAGE),
    ],
    "flatten-channels-last": [
        ("y = R.reshape(x, (1, 8))", {"x": (1, 8, 1, 1)}),
        ("y = R.reshape(x, (1, 16))", {"x": (1, 1, 4, 4)}),
        ("y = R.reshape(x, (1, 4, 2, 4))", {"x": (1, 2, 4, 4)}),
    ],
    "average-to-sum": [("y = R.mean(x, axis=[0])", ROW), ("y = R.nn.avg_pool2d(x, pool_size=[1, 1])", IMAGE)],
    "batch-norm-without-epsilon": [
        (
            "n = R.nn.batch_norm(x, g, b, m, v, axis=1, epsilon=0.0)\ny = n[0]",
            {"x": (1, 4, 8, 8)} | dict.fromkeys("gbmv", (4,)),
        ),
        (
            'n = R.nn.batch_norm(x, g, b, m, R.const([1e6, 2e6], "float32"), axis=1)\ny = n[0]',
            {"x": (1, 2, 8, 8)} | dict.fromkeys("gbm", (2,)),
        ),
    ],
}


def parse(source: str) -> Any:
    return ir.script.from_source(source)


@pytest.fixture(scope="module")
def digits() -> Any:
    return Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx")))


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_every_operator_cites_the_report_it_is_modelled_on(operator: type[GraphMutator]) -> None:
    assert operator.groups == ("bugs",)
    assert re.match(r"[\w-]+/[\w-]+#\d+: \S", operator.origin)


@pytest.mark.parametrize(("operator", "example"), EXAMPLES)
def test_result_has_the_type_of_the_original(operator: type[GraphMutator], example: Example) -> None:
    before = parse(example.before)
    after = operator().apply(before, example.sites)
    ir.tvm.ir.assert_structural_equal(after["main"].ty, before["main"].ty)


@pytest.mark.parametrize(
    ("name", "lines", "shapes"),
    [(name, *case) for name, cases in REFUSED.items() for case in cases],
)
def test_calls_that_would_not_change_are_no_sites(name: str, lines: str, shapes: Any) -> None:
    assert list(OPERATORS[name]().sites(parse(graph(lines, **shapes)))) == []


def test_site_counts_on_the_bundled_model(digits: Any) -> None:
    counts = {name: len(operator().sites(digits.module)) for name, operator in OPERATORS.items()}
    assert {name: count for name, count in counts.items() if count} == DIGITS_SITES


@pytest.mark.parametrize("name", DIGITS_SITES)
def test_every_site_of_the_bundled_model_applies(name: str, digits: Any) -> None:
    operator, original = OPERATORS[name](), digits.module
    mutants = [operator.apply(original, [site]) for site in range(DIGITS_SITES[name])]
    mutants.append(operator.apply(original, range(DIGITS_SITES[name])))
    for mutant in mutants:
        ir.relax.analysis.well_formed(mutant)
        ir.tvm.ir.assert_structural_equal(mutant["main"].ty, original["main"].ty)
        assert not ir.ffi.structural_equal(mutant, original)


@pytest.mark.parametrize("profile", ["basic", "default"])
def test_mutants_of_the_bundled_model_compile_to_other_programs(profile: str, digits: Any) -> None:
    toolchain = Toolchain(digits, Llvm(), Profile(profile))
    for name, sites in DIGITS_SITES.items():
        program, _ = toolchain.derive(OPERATORS[name](), "graph", {"main": range(sites)})
        assert len(program.calls) > 1, f"{name} is no list of kernels"
        assert program.identity != toolchain.program.identity, name


def test_sites_together_change_a_chain() -> None:
    chain = parse(
        graph("a = R.add(x, b)\nr = R.nn.relu(a)\nc = R.add(r, b)\ny = R.nn.relu(c)", x=(1, 4), b=(4,))
    )
    after = graph(
        """
        a = R.add(x, b)
        p = R.nn.relu(x)
        r = R.add(p, b)
        c = R.add(r, b)
        q = R.nn.relu(r)
        y = R.add(q, b)
        """,
        x=(1, 4),
        b=(4,),
    )
    mutant = OPERATORS["activation-before-add"]().apply(chain, range(2))
    ir.tvm.ir.assert_structural_equal(mutant, parse(after))


def test_shapes_unknown_at_compile_time_are_no_sites() -> None:
    lines = """
        c = R.nn.conv2d(x, w, strides=[2, 2], padding=[1, 1, 1, 1])
        p = R.nn.max_pool2d(c, pool_size=[3, 3], strides=[2, 2], padding=[0, 0, 1, 1])
        q = R.permute_dims(p, [0, 2, 3, 1])
        s = R.nn.softmax(q, axis=3)
        y = R.add(s, q)
    """
    module = parse(graph(lines, x=("n", 2, "h", "h"), w=(4, 2, 3, 3)))
    counts = {name: len(operator().sites(module)) for name, operator in OPERATORS.items()}
    assert {name: count for name, count in counts.items() if count} == UNKNOWN_SITES
    for name, count in UNKNOWN_SITES.items():
        mutant = OPERATORS[name]().apply(module, range(count))
        assert not ir.ffi.structural_equal(mutant, module)
