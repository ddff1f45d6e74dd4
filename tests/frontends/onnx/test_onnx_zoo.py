"""Known architectures import, and compute what onnxruntime computes."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mutatenn_frontends.onnx import Onnx

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
KINDS = {
    "squeezenet": (),
    "shufflenet": pytest.mark.slow,
    "inception_v1": pytest.mark.slow,
    "resnet50": pytest.mark.slow,
    "bvlc_alexnet": pytest.mark.soak,
    "densenet121": pytest.mark.soak,
    "inception_v2": pytest.mark.soak,
    "vgg19": pytest.mark.soak,
    "zfnet512": pytest.mark.soak,
}
"""Architectures, and how long they take."""


LARGE = {"bvlc_alexnet": pytest.mark.slow, "zfnet512": pytest.mark.slow, "vgg19": pytest.mark.soak}
"""Those of hundreds of megabytes."""


def randomise(proto: Any) -> None:
    """Give the model random weights in place of constants, which make every class score the same."""
    random = np.random.default_rng(11)
    shapes = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    constant = [node for node in proto.graph.node if node.op_type == "ConstantOfShape"]
    for node in constant:
        proto.graph.node.remove(node)
        value = weight(random, tuple(shapes[node.input[0]]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
    if proto.graph.node[-1].op_type == "Softmax":  # it would turn these logits into one 1 and many 0
        proto.graph.output[0].name = proto.graph.node.pop().input[0]
    proto.ir_version = 8  # older ones want every weight listed as an input too


def weight(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return positive values for vectors, which may be variances, else values that keep the scale."""
    if len(shape) == 1:
        return random.uniform(0.5, 1.0, shape).astype(np.float32)
    gain = np.float32(1.4 / np.sqrt(np.prod(shape[1:])))
    return gain * random.standard_normal(shape, np.float32)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=LARGE.get(name, ())) for name in KINDS],
)
def test_import(name: str, calls: Any) -> None:
    path = LIGHT / f"light_{name}.onnx"
    model = Onnx().load(path)
    assert (model.input.shape, model.output.shape) == ((1, 3, 224, 224), (1, 1000))
    nodes = Counter(node.op_type for node in onnx.load(path).graph.node)
    found = calls(model)
    assert found["nn.conv2d"] == nodes["Conv"]
    assert found["nn.batch_norm"] == nodes["BatchNormalization"]
    assert found["nn.dropout"] == 0
    assert len(model.module.functions) == 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name, marks in KINDS.items()])
def test_compiled_agrees_with_onnxruntime(name: str, load: Any, agree: Any) -> None:
    proto = onnx.load(LIGHT / f"light_{name}.onnx")
    randomise(proto)
    images = np.random.default_rng(7).uniform(-1, 1, (1, 3, 224, 224)).astype(np.float32)
    agree(load(proto), images)


def test_bundled_digits(agree: Any) -> None:
    path = Path(str(files("mutatenn") / "data" / "digits.onnx"))
    agree(Onnx().load(path))
