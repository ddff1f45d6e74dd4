"""What the operators on weights do to the numbers of a layer, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mutatenn
from mutatenn import InputError, Mutator, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import GRAPH_UNIT, Toolchain
from mutatenn.host.options import create
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.weights import bias, neurons, weights
from mutatenn_mutators.weights._layer_search import layers
from mutatenn_mutators.weights.bias import RemoveBias
from mutatenn_mutators.weights.neurons import BlockNeuron, InvertNeuron, SwitchNeurons
from mutatenn_mutators.weights.weights import GaussianFuzzWeights, ShuffleWeights

OPERATORS: list[type[Mutator]] = [
    operator for module in (weights, neurons, bias) for operator in module.mutatenn_mutators()
]
SAMPLED = [operator for operator in OPERATORS if operator is not RemoveBias]
NEURONS = 6
RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(size=(NEURONS, 4, 1, 1)).round(2)
IMAGE = RNG.normal(size=(1, 4, 3, 3)).astype("float32")


def const(values: Any) -> str:
    return f'R.const({np.asarray(values).tolist()}, "float32")'


def convolution(weights: Any = WEIGHTS, **attributes: Any) -> str:
    more = "".join(f", {key}={value!r}" for key, value in attributes.items())
    return f"c = R.nn.conv2d(x, {const(weights)}{more})"


BIAS = f"b = R.reshape({const(RNG.normal(size=NEURONS))}, (1, {NEURONS}, 1, 1))\na = R.add(c, b)"
FOUR = ", ".join(const(RNG.uniform(0.5, 2, NEURONS)) for _ in range(4))
NORM = f"n = R.nn.batch_norm({{}}, {FOUR}, axis=1, training=False)"
DENSE = f"""
p = R.reshape(x, (9, 4))
w = R.permute_dims({const(WEIGHTS[:, :, 0, 0])}, [1, 0])
d = R.matmul(p, w)
a = R.add(d, {const(RNG.normal(size=NEURONS))})
y = R.permute_dims(a, [1, 0])
"""
DEPTHWISE = convolution(WEIGHTS[:4, :1], groups=4)
# Each computes y, whose neurons lie along axis 1, or axis 0 of two.
GRAPHS = {
    "plain": f"{convolution()}\ny = R.negative(c)",
    "bias": f"{convolution()}\n{BIAS}\ny = R.negative(a)",
    "bias first": f"{convolution()}\n{BIAS.replace('c, b', 'b, c')}\ny = R.negative(a)",
    "norm": f"{convolution()}\n{NORM.format('c')}\ny = n[0]",
    "bias and norm": f"{convolution()}\n{BIAS}\n{NORM.format('a')}\ny = n[0]",
    "grouped": f"{convolution(WEIGHTS[:, :2], groups=2)}\n{BIAS}\ny = R.negative(a)",
    "dense": DENSE,
}


def module(lines: str) -> Any:
    return ir.script.from_source(graph(lines, x=(1, 4, 3, 3)))


def values(unit: Any) -> NDArray[np.float32]:
    """Return what every neuron of the only layer computes, ``[neurons, values]``."""
    machine = ir.relax.VirtualMachine(ir.tvm.compile(unit, target="llvm"), ir.tvm.cpu())
    return machine["main"](ir.tvm.runtime.tensor(IMAGE)).numpy().reshape(NEURONS, 9)


@pytest.fixture(scope="module")
def originals() -> dict[str, Any]:
    return {name: values(module(lines)) for name, lines in GRAPHS.items()}


def mutated(name: str, operator: Mutator) -> NDArray[np.float32]:
    unit = module(GRAPHS[name])
    assert len(operator.sites(unit)) == 1
    return values(operator.apply(unit, [0]))


def changed_rows(one: NDArray[Any], other: NDArray[Any]) -> list[int]:
    return [row for row in range(NEURONS) if not np.array_equal(one[row], other[row])]


@pytest.mark.parametrize("name", GRAPHS)
def test_a_blocked_neuron_is_always_zero(name: str, originals: dict[str, Any]) -> None:
    after = mutated(name, BlockNeuron(ratio=0.5))
    rows = changed_rows(originals[name], after)
    assert len(rows) == 3
    assert not after[rows].any()


@pytest.mark.parametrize("name", GRAPHS)
def test_an_inverted_neuron_changes_its_sign(name: str, originals: dict[str, Any]) -> None:
    after = mutated(name, InvertNeuron())
    (row,) = changed_rows(originals[name], after)
    np.testing.assert_allclose(after[row], -originals[name][row], rtol=1e-5)


@pytest.mark.parametrize("name", GRAPHS)
def test_switched_neurons_change_places(name: str, originals: dict[str, Any]) -> None:
    before, after = originals[name], mutated(name, SwitchNeurons())
    one, other = changed_rows(before, after)
    np.testing.assert_array_equal(after[[one, other]], before[[other, one]])
    if name == "grouped":
        assert one // 3 == other // 3


def test_all_neurons_can_change_places() -> None:
    unit = module(GRAPHS["plain"])
    before, after = values(unit), values(SwitchNeurons(ratio=1.0).apply(unit, [0]))
    assert changed_rows(before, after) == [*range(NEURONS)]


def test_shuffled_weights_are_the_same_ones() -> None:
    unit = module(GRAPHS["dense"])
    (before,), (after,) = layers(unit), layers(ShuffleWeights(ratio=0.4).apply(unit, [0]))
    one, other = before.weights.rows, after.weights.rows
    assert len(changed_rows(one, other)) == 2
    np.testing.assert_array_equal(np.sort(one, axis=1), np.sort(other, axis=1))


def test_fuzzed_weights_are_few_and_near() -> None:
    unit = module(GRAPHS["bias"])
    (before,), (after,) = layers(unit), layers(GaussianFuzzWeights(ratio=0.25, sigma=0.01).apply(unit, [0]))
    one, other = before.weights.array, after.weights.array
    assert np.count_nonzero(one != other) == 6
    np.testing.assert_allclose(other, one, rtol=0.05)


def test_a_noise_too_small_to_show_still_shows() -> None:
    unit = module(GRAPHS["plain"])
    (before,), (after,) = layers(unit), layers(GaussianFuzzWeights(ratio=1.0, sigma=1e-30).apply(unit, [0]))
    assert (before.weights.array != after.weights.array).all()
    np.testing.assert_allclose(after.weights.array, before.weights.array, rtol=1e-6)


@pytest.mark.parametrize("name", ["bias", "bias first", "dense"])
def test_without_its_bias_a_layer_is_its_product(name: str, originals: dict[str, Any]) -> None:
    unit = module(GRAPHS[name])
    (layer,) = layers(unit)
    assert layer.bias is not None
    sign = 1 if name == "dense" else -1
    expected = originals[name] - sign * layer.bias.rows
    np.testing.assert_allclose(values(RemoveBias().apply(unit, [0])), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("operator", "lines"),
    [
        (GaussianFuzzWeights, convolution(0 * WEIGHTS)),
        (ShuffleWeights, convolution(0 * WEIGHTS + 0.5)),
        (ShuffleWeights, DEPTHWISE),
        (BlockNeuron, convolution(0 * WEIGHTS)),
        (InvertNeuron, convolution(0 * WEIGHTS)),
        (SwitchNeurons, convolution(0 * WEIGHTS + 0.5)),
        (SwitchNeurons, DEPTHWISE),
        (RemoveBias, convolution()),
        (RemoveBias, f"{convolution()}\na = R.add(c, R.const([0.0], 'float32'))"),
    ],
)
def test_where_nothing_would_change_is_no_site(operator: type[Mutator], lines: str) -> None:
    assert list(operator().sites(module(f"{lines}\ny = R.negative(c)"))) == []


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
@pytest.mark.parametrize(
    "lines",
    ["y = R.nn.relu(x)", "y = R.nn.conv2d(x, R.negative(x), padding=1)", "y = R.matmul(x, x)"],
    ids=["no layer", "no constant", "no weights"],
)
def test_what_has_no_constant_weights_is_no_site(operator: type[Mutator], lines: str) -> None:
    assert list(operator().sites(module(lines))) == []


def test_a_value_that_others_read_keeps_its_bias_to_itself() -> None:
    unit = module(f"{convolution()}\n{BIAS}\ny = R.multiply(a, c)")
    (layer,) = layers(unit)
    assert layer.bias is None


@pytest.mark.parametrize("operator", SAMPLED, ids=lambda operator: operator.name)
def test_the_choice_depends_on_seed_and_weights_alone(operator: type[Any]) -> None:
    alone, second = (
        module(GRAPHS["plain"]),
        module(f"z = R.nn.relu(x)\n{GRAPHS['plain'].replace('(x', '(z')}"),
    )
    (one,), (other,) = (layers(operator().apply(unit, [0])) for unit in (alone, second))
    np.testing.assert_array_equal(one.weights.array, other.weights.array)
    seeds = [layers(operator(seed=seed).apply(alone, [0]))[0].weights.array for seed in range(4)]
    assert any(not np.array_equal(seeds[0], each) for each in seeds[1:])


@pytest.mark.parametrize(
    ("operator", "options", "message"),
    [
        (BlockNeuron, {"seed": -1}, "option 'seed' must be an integer of at least 0, not -1"),
        (BlockNeuron, {"seed": 1.5}, "1.5 is not a int"),
        (BlockNeuron, {"ratio": 0}, "option 'ratio' must be above 0 and at most 1, not 0.0"),
        (ShuffleWeights, {"ratio": 2}, "option 'ratio' must be above 0 and at most 1, not 2.0"),
        (GaussianFuzzWeights, {"sigma": 0}, "option 'sigma' must be a number above 0, not 0.0"),
        (GaussianFuzzWeights, {"sigma": float("inf")}, "option 'sigma' must be a number above 0, not inf"),
        (RemoveBias, {"seed": 1}, "remove-bias has no option 'seed'; it has none"),
    ],
)
def test_bad_options_are_refused(operator: type[Mutator], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        create(operator, options)


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    model = Onnx().load(Path(mutatenn.__file__).parent / "data" / "digits.onnx")
    return Toolchain(model, Llvm(), Profile())


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_every_site_of_the_bundled_model(operator: type[Mutator], toolchain: Toolchain) -> None:
    graph, original = toolchain.unit(GRAPH_UNIT, "graph"), toolchain.program
    sites = range(len(operator().sites(graph)))
    assert len(sites) > 0
    found = []
    for site in sites:
        mutant = operator().apply(graph, [site])
        assert not ir.ffi.structural_equal(mutant, graph)
        ir.relax.analysis.well_formed(mutant)
        program, _ = toolchain.derive(operator(), "graph", {GRAPH_UNIT: [site]})
        assert set(program.kernels) == set(original.kernels)
        found.append(frozenset(each.digest for each in program.constants.values()))
    assert len({*found, frozenset(each.digest for each in original.constants.values())}) == len(found) + 1


def test_unchanged_constants_are_shared(toolchain: Toolchain) -> None:
    graph = toolchain.unit(GRAPH_UNIT, "graph")
    before, after = layers(graph), layers(InvertNeuron().apply(graph, [0]))
    shared = [
        np.shares_memory(one.source, other.source)
        for first, second in zip(before, after, strict=True)
        for one, other in zip(first.tensors, second.tensors, strict=True)
    ]
    assert shared.count(False) == len(before[0].factors) == 2


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_sites_together_are_sites_one_by_one(operator: type[Mutator], classifier: Any) -> None:
    sites = range(len(operator().sites(classifier)))
    one_by_one = classifier
    for site in reversed(sites):
        one_by_one = operator().apply(one_by_one, [site])
    ir.tvm.ir.assert_structural_equal(operator().apply(classifier, sites), one_by_one)
