"""What removing and repeating layers computes, and where it is possible."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mutatenn
from mutatenn import Mutator, ir
from mutatenn.compiler.kernels import build_kernel
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import GRAPH_UNIT, Toolchain
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.weights import layers
from mutatenn_mutators.weights.layers import DuplicateLayer, RemoveActivation, RemoveLayer

OPERATORS: list[type[Mutator]] = layers.mutatenn_mutators()
SHAPE = (1, 2, 4, 4)
IMAGE = np.random.default_rng(3).normal(size=SHAPE).astype("float32")
VECTOR = 'R.const([2.0, 0.5], "float32")'
CONVOLUTION = 'c = R.nn.conv2d(x, R.const([[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]], "float32"))\n'
BIAS = f"b = R.reshape({VECTOR}, (1, 2, 1, 1))\n"
FOUR = ", ".join([VECTOR] * 4)
NORM = f"n = R.nn.batch_norm(x, {FOUR}, axis=1, epsilon=0.0, training=False)\ny = n[0]"

Function = Callable[[NDArray[Any]], NDArray[Any]]


def product(x: NDArray[Any]) -> NDArray[Any]:
    return np.einsum("oc,nchw->nohw", [[1.0, 2.0], [3.0, 4.0]], x)


def shifted(x: NDArray[Any]) -> NDArray[Any]:
    return product(x) + np.reshape([2.0, 0.5], (1, 2, 1, 1))


def normalised(x: NDArray[Any]) -> NDArray[Any]:
    two = np.reshape([2.0, 0.5], (1, 2, 1, 1))
    return (x - two) / np.sqrt(two) * two + two


def pooled(x: NDArray[Any]) -> NDArray[Any]:
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3)).max(axis=(4, 5)))


LAYERS: dict[str, tuple[str, Function]] = {
    "convolution": (f"{CONVOLUTION}y = R.negative(c)", product),
    "with a bias": (f"{CONVOLUTION}{BIAS}a = R.add(c, b)\ny = R.negative(a)", shifted),
    "bias first": (f"{CONVOLUTION}{BIAS}a = R.add(b, c)\ny = R.negative(a)", shifted),
    "batch norm": (NORM, normalised),
    "pooling": ("c = R.nn.max_pool2d(x, pool_size=[3, 3], padding=[1, 1])\ny = R.negative(c)", pooled),
}


def module(lines: str, shape: tuple[int, ...] = SHAPE) -> Any:
    return ir.script.from_source(graph(lines, x=shape))


def run(unit: Any) -> NDArray[np.float32]:
    machine = ir.relax.VirtualMachine(ir.tvm.compile(unit, target="llvm"), ir.tvm.cpu())
    values: NDArray[np.float32] = machine["main"](ir.tvm.runtime.tensor(IMAGE)).numpy()
    return values


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_goes_or_comes_twice(name: str) -> None:
    lines, function = LAYERS[name]
    unit, sign = module(lines), 1 if name == "batch norm" else -1
    assert len(RemoveLayer().sites(unit)) == len(DuplicateLayer().sites(unit)) == 1
    np.testing.assert_array_equal(run(RemoveLayer().apply(unit, [0])), sign * IMAGE)
    twice = sign * function(function(IMAGE))
    np.testing.assert_allclose(run(DuplicateLayer().apply(unit, [0])), twice, rtol=1e-4, atol=1e-5)


def test_a_bias_is_described_with_its_layer() -> None:
    (site,) = RemoveLayer().sites(module(LAYERS["with a bias"][0]))
    assert site == "c = R.nn.conv2d(x[1x2x4x4], const[2x2x1x1])"


@pytest.mark.parametrize("operator", [RemoveLayer, DuplicateLayer])
@pytest.mark.parametrize(
    "lines",
    [
        "y = R.nn.relu(x)",
        "y = R.clip(x, 0, 6)",
        'y = R.nn.conv2d(x, R.const([[[[1.0]], [[2.0]]]], "float32"))',
        "y = R.nn.max_pool2d(x, pool_size=[2, 2])",
        "y = R.add(x, x)",
    ],
    ids=["relu", "relu6", "fewer channels", "smaller", "residual"],
)
def test_no_site(operator: type[Mutator], lines: str) -> None:
    assert list(operator().sites(module(lines))) == []


@pytest.mark.parametrize(
    ("lines", "sites"),
    [("y = R.nn.relu(x)", 1), ("y = R.clip(x, 0, 6)", 1), ("y = R.clip(x, -1, 1)", 0), ("y = R.tanh(x)", 1)],
)
def test_activations(lines: str, sites: int) -> None:
    unit = module(lines)
    assert len(RemoveActivation().sites(unit)) == sites
    if sites:
        np.testing.assert_array_equal(run(RemoveActivation().apply(unit, [0])), IMAGE)


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    model = Onnx().load(Path(mutatenn.__file__).parent / "data" / "digits.onnx")
    return Toolchain(model, Llvm(), Profile())


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_every_site_of_the_bundled_model(operator: type[Mutator], toolchain: Toolchain) -> None:
    graph = toolchain.unit(GRAPH_UNIT, "graph")
    sites = range(len(operator().sites(graph)))
    assert len(sites) == {RemoveLayer: 11, DuplicateLayer: 11, RemoveActivation: 7}[operator]
    for site in sites:
        mutant = operator().apply(graph, [site])
        assert not ir.ffi.structural_equal(mutant, graph)
        ir.relax.analysis.well_formed(mutant)
        program, _ = toolchain.derive(operator(), "graph", {GRAPH_UNIT: [site]})
        assert program.calls != toolchain.program.calls
    together, _ = toolchain.derive(operator(), "graph", {GRAPH_UNIT: sites})
    for digest in together.kernels.keys() - toolchain.program.kernels.keys():
        assert callable(build_kernel(together.kernels[digest], toolchain.target))


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_sites_together_are_sites_one_by_one(operator: type[Mutator], classifier: Any) -> None:
    sites = range(len(operator().sites(classifier)))
    assert len(sites) > 0
    one_by_one = classifier
    for site in reversed(sites):
        one_by_one = operator().apply(one_by_one, [site])
    ir.tvm.ir.assert_structural_equal(operator().apply(classifier, sites), one_by_one)
