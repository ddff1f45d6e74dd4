"""What oracles, operators and frontends return is checked before it is used."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import Comparator, InputError, Model, Mutator, PluginError, Scores, TensorSpec, ir
from mutatenn.campaign import promises
from mutatenn.campaign.config.resources import data_folder
from mutatenn.results import oracles
from mutatenn_frontends.onnx import Onnx

ORIGINAL = Scores(np.full((4, 3), 1 / 3, np.float32))


def oracle(measure: Callable[[Scores], Any], noticed: Callable[[Any], Any] | None = None) -> Comparator:
    class Made(Comparator):
        """Made for a test."""

        name = "made"
        worse = "higher"

        def measure(self, original: Scores, candidate: Scores) -> Any:
            return measure(original)

        def noticed(self, values: Any) -> Any:
            return noticed(values) if noticed else super().noticed(values)

    return Made()


@pytest.mark.parametrize(
    "measure",
    [
        lambda original: None,
        lambda original: 1.0,
        lambda original: np.float64(1),
        lambda original: [0.0] * 4,
        lambda original: np.zeros(3),
        lambda original: np.zeros((4, 1)),
        lambda original: np.zeros(4, int),
        lambda original: np.zeros(4, complex),
        lambda original: np.full(4, "x"),
        lambda original: np.full(4, None),
    ],
)
def test_an_oracle_measures_a_float_of_every_image(measure: Callable[[Scores], Any]) -> None:
    with pytest.raises(PluginError, match=r"^comparator 'made' of .* must return a float64 array \[4\], not"):
        oracles.measured(oracle(measure), ORIGINAL, ORIGINAL)


def test_an_oracle_cannot_write_into_the_outputs() -> None:
    values = np.ones((4, 3), np.float32)
    with pytest.raises(PluginError, match="measure raised ValueError: assignment destination is read-only"):
        oracles.measured(oracle(lambda original: original.values.fill(0)), Scores(values), Scores(values))
    assert (values == 1).all()


@pytest.mark.parametrize(
    "noticed", [lambda values: None, lambda values: values, lambda values: np.ones(3, bool)]
)
def test_an_oracle_notices_yes_or_no(noticed: Callable[[Any], Any]) -> None:
    with pytest.raises(PluginError, match=r"noticed must return a bool array \[4\], not"):
        oracles.noticed(oracle(lambda original: None, noticed), np.zeros(4))


def operator(sites: Callable[[Any], Any]) -> Mutator:
    class Made(Mutator):
        """Made for a test."""

        name = "made"
        level = "kernel"
        stage = "schedulable"

        def sites(self, unit: Any) -> Any:
            return sites(unit)

        def apply(self, unit: Any, sites: Any) -> Any:
            return unit

        @classmethod
        def examples(cls) -> Any:
            return []

    return Made()


@pytest.mark.parametrize(
    "sites",
    [
        lambda unit: None,
        lambda unit: "text",
        lambda unit: itertools.count(),
        lambda unit: {},
        lambda unit: [1],
    ],
)
def test_sites_are_strings(sites: Callable[[Any], Any]) -> None:
    with pytest.raises(
        PluginError, match=r"^mutator 'made' of .*: sites must return a sequence of strings, not"
    ):
        promises.sites(operator(sites), {"kernel": None})


def test_sites_are_told_on_one_line() -> None:
    found = promises.sites(operator(lambda unit: ("a\x1b[31m\nb", "c" * 10_000)), {"kernel": None})
    assert found["kernel"][0] == "a?[31m b"
    assert len(found["kernel"][1]) == promises.LONGEST_SITE


def test_an_operator_that_ends_its_process_is_named() -> None:
    def leave(unit: Any) -> None:
        import os

        os._exit(0)

    with pytest.raises(PluginError, match=r"^mutator 'made' of .*: sites ended its process"):
        promises.sites(operator(leave), {"kernel": None})


@pytest.fixture(scope="module")
def digits() -> Model:
    return Onnx().load(data_folder() / "digits.onnx")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": None}, "whose input and output are not TensorSpecs of fixed sizes"),
        (
            {"input": TensorSpec("x", (1, 1, 0, 8))},
            "whose input and output are not TensorSpecs of fixed sizes",
        ),
        ({"input": TensorSpec("x", (1, 1, 8, 8), "nothing")}, "load raised TypeError"),
        ({"input": TensorSpec("x", (1, 1, 8, 8), "uint8")}, "whose main does not go from x uint8"),
        ({"input": TensorSpec("x", (2, 1, 8, 8))}, "not from one image to [1, classes]"),
        ({"output": TensorSpec("y", (1, 3))}, "whose main does not go from"),
        ({"output": TensorSpec("y", (1, 10, 1))}, "not from one image to [1, classes]"),
        ({"module": None}, "whose module is no IRModule but a NoneType"),
        ({"digest": ""}, "without a name or a digest"),
    ],
)
def test_the_parts_of_a_model_agree(digits: Model, changes: dict[str, Any], message: str) -> None:
    class Changed(Onnx):
        def load(self, source: Path) -> Model:
            return attrs.evolve(digits, **changes)

    with pytest.raises(PluginError, match=r"^frontend 'onnx' of ") as caught:
        promises.load_model(Changed(), Path())
    assert message in str(caught.value)


def test_a_value_that_fits_nowhere(digits: Model) -> None:
    builder = ir.relax.BlockBuilder()
    image = ir.relax.Var("image", ir.relax.TensorType(digits.input.shape, "float32"))
    with builder.function("main", [image]):
        large = builder.emit(ir.relax.op.zeros((100_000, 100_000), "float32"))
        mean = ir.relax.op.mean(large, keepdims=True)
        builder.emit_func_output(builder.emit(ir.relax.op.broadcast_to(mean, (1, 10))))

    class Large(Onnx):
        def load(self, source: Path) -> Model:
            return attrs.evolve(digits, module=builder.get())

    with pytest.raises(InputError, match=r"^net: its value '\w+' has 100000x100000 elements, at most"):
        promises.load_model(Large(), Path("net"))


@pytest.mark.parametrize("found", [None, [[0.0]], np.zeros((3, 10)), np.zeros((2, 10), complex)])
def test_a_reference_gives_scores_of_every_image(digits: Model, found: Any) -> None:
    class Other(Onnx):
        def reference(self, model: Model, images: Any) -> Any:
            return found

    with pytest.raises(PluginError, match=r"reference must return a float32 array \[2, 10\], not"):
        promises.run_reference(Other(), digits, np.zeros((2, 1, 8, 8), np.float32))
