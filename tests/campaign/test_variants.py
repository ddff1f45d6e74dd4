"""The same network in several forms, one campaign: each measured by its own framework, all compared."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mutatenn
from mutatenn import InputError, PluginHost, compare_layers
from mutatenn.campaign.config.load import load_campaign
from mutatenn.campaign.config.values import dump
from mutatenn.campaign.execution.setup import catalogues
from mutatenn.campaign.gate.gate import scores_of

DIGITS = Path(str(files("mutatenn") / "data" / "digits.onnx"))
CAMPAIGN = """
name = "x"
[model]
path = "mutatenn:digits.onnx"
[[model.variants]]
name = "twin"
path = "twin.onnx"
{variant}
[preprocess]
mean = 127.5
std = 127.5
[dataset]
images = "mutatenn:digits/*_00*.png"
truth = "filename-prefix"
{more}
"""
MATRIX = """
[matrix]
model = ["digits", "twin"]
profile = ["basic", "default"]
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(change: Callable[[Any], None], variant: str = "", more: str = MATRIX) -> Path:
        model = onnx.load(str(DIGITS))
        change(model.graph)
        onnx.save(model, str(tmp_path / "twin.onnx"))
        (tmp_path / "x.toml").write_text(CAMPAIGN.format(variant=variant, more=more))
        return tmp_path / "x.toml"

    return write


def same(graph: Any) -> None:
    graph.node[0].doc_string = "converted"


def last_channels(graph: Any) -> None:
    """Take images of another shape, channels last, and of half the range."""
    given = graph.input[0]
    turned = helper.make_tensor_value_info("turned", TensorProto.FLOAT, [1, 8, 8, 1])
    transpose = helper.make_node("Transpose", ["turned"], ["transposed"], perm=[0, 3, 1, 2], name="turn")
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    scale = helper.make_node("Mul", ["transposed", "two"], [given.name], name="scale")
    graph.input.remove(given)
    graph.input.append(turned)
    graph.initializer.append(two)
    graph.node.insert(0, scale)
    graph.node.insert(0, transpose)


def renamed_and_scaled(graph: Any) -> None:
    """Give every node another name, and one other weights."""
    for node in graph.node:
        if node.name == "block3/conv_pointwise" or node.name.startswith("block3/conv"):
            (weight,) = (each for each in graph.initializer if each.name == node.input[1])
            values = numpy_helper.to_array(weight) * np.float32(1.02)
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        node.name = f"converted_{node.name}"


def test_every_form_in_every_profile(write: Write, tmp_path: Path) -> None:
    run = mutatenn.run(write(same), tmp_path / "run", workers=1)
    assert run.environments == ("digits-basic", "digits-default", "twin-basic", "twin-default")
    assert [run.factors(name)["model"] for name in run.environments] == ["digits"] * 2 + ["twin"] * 2
    assert all(not baseline.problems for baseline in run.baselines.values())
    tables = {table.name: table for table in mutatenn.compare([run], {}).tables()[0]}
    assert tables["gain-model-digits-twin"].head == ("", "basic", "default")


def test_each_prepares_images_as_it_takes_them(write: Write, tmp_path: Path) -> None:
    """Other layouts and ranges are another way to the same numbers."""
    path = write(last_channels, "preprocess = { mean = 127.5, std = 255 }")
    run = mutatenn.run(path, tmp_path / "run", workers=1)
    np.testing.assert_allclose(
        run.outputs("twin-basic", None), run.outputs("digits-basic", None), rtol=1e-4, atol=1e-6
    )


def test_mutants_of_each(write: Write, tmp_path: Path) -> None:
    path = write(last_channels, "preprocess = { mean = 127.5, std = 255 }", MATRIX + MUTATION)
    run = mutatenn.run(path, tmp_path / "run", workers=1)
    found = {name: run.score(name).judged for name in run.environments}
    assert found == dict.fromkeys(run.environments, 1)
    trace = mutatenn.trace(run, run.mutants_of("twin-basic")[0], "twin-basic", None, PluginHost.installed())
    assert trace.hops


MUTATION = """
[[mutations]]
operator = "relu-to-sigmoid"
sites = [0]
"""


def test_a_form_is_measured_by_its_own_framework_and_its_accuracy_by_the_models(
    write: Write, tmp_path: Path
) -> None:
    """A twin that is wrong is right about itself; that it is less accurate is what the threshold tells."""

    def spoilt(graph: Any) -> None:
        (node,) = (node for node in graph.node if node.name == "head/dense")
        (bias,) = (each for each in graph.initializer if each.name == node.input[2])
        values = numpy_helper.to_array(bias).copy()
        values[3] += 6
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))

    path = write(spoilt, more=f"{MATRIX}[thresholds]\nmin_relative_accuracy = 0.99\n")
    run = mutatenn.run(path, tmp_path / "run", workers=1)
    twin = run.baselines["twin-basic"]
    assert (twin.problems, twin.reference_labels) == ((), twin.images)
    assert twin.accuracy < 0.9 < twin.reference_accuracy  # type: ignore[operator]  # known
    assert [each.environment for each in run.failed_thresholds] == ["twin-basic", "twin-default"]


def test_layers_of_other_names_are_paired_by_what_they_compute(write: Write, tmp_path: Path) -> None:
    run = mutatenn.run(write(renamed_and_scaled), tmp_path / "run", workers=1)
    found = compare_layers([run], "digits-basic", "twin-basic", images=3)
    assert found.first_beyond
    assert found.first_beyond.layer.startswith("block3/conv")
    name, twin = found.first_beyond.layer.split(" = ")
    assert twin == f"converted_{name}"
    assert found.layers[-1].layer == "head/softmax = converted_head/softmax"


def test_a_quantised_twin(write: Write, tmp_path: Path) -> None:
    """QDQ, as onnxruntime makes it: labels, and how much of each layer's signal is left."""
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            draw = np.random.default_rng(0)
            self.left = [draw.uniform(-1, 1, (1, 1, 8, 8)).astype(np.float32) for _ in range(16)]

        def get_next(self) -> dict[str, Any] | None:
            return {"image": self.left.pop()} if self.left else None

    path = write(same, more=f"{MATRIX}[gate]\ntolerance = 0.05\n")
    quantization.quantize_static(str(DIGITS), str(tmp_path / "twin.onnx"), Images())
    run = mutatenn.run(path, tmp_path / "run", workers=1)
    found = compare_layers([run], "digits-default", "twin-default", images=3)
    assert found.layers[0].relative == 0
    kept = {each.layer: each.sqnr for each in found.layers[1:]}
    assert len(kept) > 3
    assert all(5 < sqnr < 60 for sqnr in kept.values()), kept


def test_a_form_that_cannot_be_had_is_told(write: Write, tmp_path: Path) -> None:
    path = write(same, more=MATRIX.replace('"twin"]', '{ name = "twin", model = "twin", may_fail = true }]'))
    (tmp_path / "twin.onnx").write_bytes(b"no model")
    run = mutatenn.run(path, tmp_path / "run", workers=1)
    assert set(run.failures) == {"twin-basic", "twin-default"}
    assert all(why.startswith("the model cannot be imported: ") for why in run.failures.values())
    assert run.factors("twin-basic")["model"] == "twin"
    assert set(run.baselines) == {"digits-basic", "digits-default"}
    with pytest.raises(InputError, match=r"twin\.onnx"):
        mutatenn.run(write(lambda graph: graph.node.pop()), tmp_path / "other", workers=1)


def test_models_of_other_tasks_are_refused(write: Write, tmp_path: Path) -> None:
    def fewer(graph: Any) -> None:
        graph.node.append(helper.make_node("Slice", [graph.output[0].name, "from", "to", "axes"], ["few"]))
        for name, value in {"from": 0, "to": 5, "axes": 1}.items():
            graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], [value]))
        graph.output.pop()
        graph.output.append(helper.make_tensor_value_info("few", TensorProto.FLOAT, [1, 5]))

    with pytest.raises(InputError, match="do not have the same classes: 10 and 5"):
        mutatenn.run(write(fewer), tmp_path / "run", workers=1)


@pytest.mark.parametrize(
    ("variant", "more", "told"),
    [
        ("", '[[environments]]\nname = "a"\nmodel = "twim"', "unknown model 'twim'; did you mean 'twin'"),
        ("", '[matrix]\nmodel = ["digits", "other"]', "unknown model 'other'"),
        (
            '[[model.variants]]\nname = "digits"\npath = "twin.onnx"',
            "",
            "itself is called 'digits'",
        ),
        ('[[model.variants]]\nname = "b"', "", "give path (a file or folder) or source"),
        ('[[model.variants]]\nname = "twin"\npath = "twin.onnx"', "", "'twin'"),
        ("label_offset = 1", "", "label_offset"),
    ],
)
def test_what_does_not_go_together(write: Write, variant: str, more: str, told: str) -> None:
    host = PluginHost.installed()
    with pytest.raises(InputError) as raised:
        load_campaign(write(same, variant, more), catalogues(host))
    assert told in str(raised.value)


def test_a_campaign_is_written_as_it_was_read(write: Write, tmp_path: Path) -> None:
    host = PluginHost.installed()
    read = load_campaign(write(same, "preprocess = { std = 2.0 }"), catalogues(host))
    (tmp_path / "again.toml").write_text(dump(read))
    assert load_campaign(tmp_path / "again.toml", catalogues(host)) == read


def test_probabilities_of_eight_bits_are_probabilities() -> None:
    draw = np.random.default_rng(0)
    exact = draw.dirichlet(np.ones(10), 50).astype(np.float32)
    stepped = np.minimum(np.round(exact * 256), 255).astype(np.float32) / 256
    assert scores_of(exact, "auto").kind == scores_of(stepped, "auto").kind == "probabilities"
    assert scores_of(stepped * 3, "auto").kind == scores_of(exact * 0.9, "auto").kind == "logits"
