"""Layers of two environments side by side: nothing where they are the same, a planted fault at its layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import mutatenn
from mutatenn import InputError, Run, compare_layers
from mutatenn.analysis.environments.holm import holm
from mutatenn.analysis.layers.compare import Measured, _chances, like, matches, measured

CAMPAIGN = """
name = "x"
[model]
path = "{model}"
[preprocess]
mean = {mean}
std = 127.5
[dataset]
images = "mutatenn:digits/*_000*.png"
[[environments]]
name = "cpu"
profile = "{profile}"
{more}
"""
FRAMEWORK = """
[[environments]]
name = "framework"
backend = "reference"
"""
OTHERS = f"""
{FRAMEWORK}
[[environments]]
name = "fused"
[[environments]]
name = "channels-last"
profile = "extended"
"""
DIGITS = Path(str(files("mutatenn") / "data" / "digits.onnx"))

Make = Callable[..., Run]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def make(
        model: Path = DIGITS, *, mean: float = 127.5, profile: str = "basic", more: str = FRAMEWORK
    ) -> Run:
        folder = tmp_path_factory.mktemp("layers")
        text = CAMPAIGN.format(model=model, mean=mean, profile=profile, more=more)
        (folder / "x.toml").write_text(text)
        return mutatenn.run(folder / "x.toml", folder / "run", workers=1)

    return make


@pytest.fixture(scope="module")
def several(make: Make) -> Run:
    return make(more=OTHERS)


@pytest.mark.parametrize(
    ("first", "second"), [("framework", "cpu"), ("cpu", "fused"), ("cpu", "channels-last")]
)
def test_the_same_network_is_the_same_at_every_layer(several: Run, first: str, second: str) -> None:
    found = compare_layers([several], first, second, images=3)
    names = [each.layer for each in found.layers]
    assert names[0] == "input"
    assert names[-1] == "head/softmax"
    assert {"block1/relu", "pool", "block5/relu", "head/dense"} <= set(names)
    assert names == sorted(names, key=["input", *several.facts["environments"]["cpu"]["layers"]].index)
    assert all(each.relative < 1e-5 and each.sqnr > 90 and each.cosine > 1 - 1e-9 for each in found.layers)
    assert (found.first_beyond, found.suspects) == (None, ())
    assert len(found.images) == 3


def twin(tmp_path: Path, change: Callable[[Any], None]) -> Path:
    model = onnx.load(str(DIGITS))
    change(model.graph)
    onnx.save(model, str(tmp_path / "twin.onnx"))
    return tmp_path / "twin.onnx"


def scaled(layer: str) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        (node,) = (node for node in graph.node if node.name == layer)
        (weight,) = (each for each in graph.initializer if each.name == node.input[1])
        weight.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.02), weight.name)
        )

    return change


def moved(layer: str) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        (node,) = (node for node in graph.node if node.name == layer)
        (pads,) = (attribute for attribute in node.attribute if attribute.name == "pads")
        top, left, bottom, right = pads.ints
        pads.ints[:] = [top + 1, left, bottom - 1, right]

    return change


@pytest.mark.parametrize("layer", ["block2/conv_pointwise", "block5/conv"])
def test_weights_that_are_scaled_are_found(make: Make, several: Run, tmp_path: Path, layer: str) -> None:
    other = make(twin(tmp_path, scaled(layer)))
    found = compare_layers([several, other], "cpu", "cpu", images=4)
    assert found.first_beyond
    assert found.first_beyond.layer == found.suspects[0].layer == layer
    parameters = {each.layer: each.parameters for each in found.layers if each.parameters}
    assert parameters == {layer: pytest.approx(0.02, rel=1e-4)}


def test_padding_that_is_moved_is_found(make: Make, several: Run, tmp_path: Path) -> None:
    layer = "block4/conv_depthwise"
    found = compare_layers([several, make(twin(tmp_path, moved(layer)))], "cpu", "cpu", images=4)
    assert found.first_beyond
    assert found.first_beyond.layer == found.suspects[0].layer == layer
    assert all(each.parameters in (None, 0.0) for each in found.layers)


def test_a_fault_in_fused_code_is_at_the_layer_that_ends_it(make: Make, several: Run, tmp_path: Path) -> None:
    other = make(twin(tmp_path, scaled("block3/conv")), profile="default")
    found = compare_layers([several, other], "cpu", "cpu", images=2)
    assert found.suspects[0].layer == "block3/relu"
    assert "block3/conv" in found.unmatched


def test_images_that_are_prepared_otherwise_are_found_first(make: Make, several: Run) -> None:
    found = compare_layers([several, make(mean=110.0)], "cpu", "cpu", images=2)
    assert found.first_beyond
    assert found.first_beyond.layer == "input"


def test_the_command(several: Run, capsys: pytest.CaptureFixture[str]) -> None:
    from mutatenn.cli.main import main

    command = ["compare", str(several.directory), "--layers", "--images", "2"]
    names = ["--environment", "framework", "--environment", "cpu"]
    assert main([*command, *names]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cpu against framework, layer by layer, on 2 images\n")
    assert "no layer is further apart than 0.001 of its largest value" in out
    assert main([*command, *names, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["layer"] for each in found["layers"]][:2] == ["input", "block1/conv"]
    assert main(command) == 2
    assert "--layers compares two environments; name two by --environment" in capsys.readouterr().err
    assert main([*command[:3], *names, "--images", "0"]) == 2
    assert "--images takes a number of images" in capsys.readouterr().err


def test_environments_that_are_not_there(several: Run) -> None:
    with pytest.raises(InputError, match="unknown environment 'gpu'"):
        compare_layers([several], "cpu", "gpu")


def test_measures() -> None:
    one, other = (
        np.array([[1.0, -2.0], [0.0, 4.0]], np.float32),
        np.array([[1.0, -2.5], [0.0, 4.5]], np.float32),
    )
    found = measured(one, other)
    assert (found.max_abs, found.mean_abs, found.relative) == (0.5, 0.25, 0.125)
    assert found.std == pytest.approx(np.std([0, -0.5, 0, 0.5]))
    assert found.sqnr == pytest.approx(10 * np.log10(21 / 0.5))
    assert found.cosine == pytest.approx(24 / np.sqrt(21 * 27.5))
    assert measured(one, one).sqnr == np.inf
    assert measured(np.zeros(3), np.ones(3)).relative == np.inf


def test_layers_that_one_side_folds_into_one() -> None:
    """TFLite folds batch normalisation and activation into the convolution, whose name the result has."""
    draw = np.random.default_rng(0)
    conv, norm, act, dense, scores = (draw.normal(size=(1, 4, 3, 3)) for _ in range(5))
    apart = {"conv": conv, "norm": norm, "act": act, "dense": dense}
    folded = {"conv": act, "dense": scores, "softmax": dense}
    assert matches(apart, folded, 1e-3) == {"act": "conv", "dense": "softmax"}
    assert matches(folded, apart, 1e-3) == {"conv": "act", "softmax": "dense"}
    wrong = {"conv": 1.02 * act, "dense": 1.01 * dense}
    assert matches(apart, wrong, 1e-3) == {"conv": "conv", "dense": "dense"}, "a fault is no folding"
    assert matches(apart, {"conv": conv[:, :2], "norm": norm}, 1e-3) == {"norm": "norm"}


def test_layouts() -> None:
    first = np.arange(24.0).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(like(first.transpose(0, 2, 3, 1), first), first)
    np.testing.assert_array_equal(like(first[:, :1, :1], first[0, 0, 0]), first[0, 0, 0])
    assert like(np.zeros((1, 5)), first) is None
    last = first.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(like(first, last), last)


def test_holm() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": 0.03, "c": 0.06, "b": 0.06}
    assert holm({}) == {}


def test_images_that_differ_tell_the_layer() -> None:
    """Where images whose labels differ are further apart than the others, that is unlikely to be luck."""
    differ = np.array([True] * 6 + [False] * 6)

    def layer(values: Any) -> list[Measured]:
        return [Measured(0, 0, 0, float(value), 0, 1) for value in values]

    told = {
        "input": layer(np.zeros(12)),
        "same": layer(np.tile([1, 2, 3, 4, 5, 6], 2)),
        "apart": layer([7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]),
    }
    chances = _chances(told, differ)
    assert set(chances) == {"same", "apart"}
    assert chances["apart"] == pytest.approx(2 / 924), (
        "1 of the 924 ways to choose six of twelve, for two layers"
    )
    assert chances["same"] > 0.5
    assert _chances(told, np.array([True, True, *[False] * 10])) == {}, "too few"
