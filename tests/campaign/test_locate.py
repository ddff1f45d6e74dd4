"""A red gate says which operator or kernel is the first to differ from the model's own framework."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import onnx.parser
import pytest
from PIL import Image

import mutatenn
from mutatenn import ir
from mutatenn.campaign.gate import locate
from mutatenn.campaign.inputs.models import ImportedModel
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends._onnx import conversions as onnx_conversions
from mutatenn_frontends.onnx import Onnx
from mutatenn_mutators.paper.relu_to_sigmoid import ReluToSigmoid

NODES = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,1,6,6] image) => (float[1,4] scores)
<float[2,1,3,3] w, float[2,4] fc, float[1,2,4,4] shift> {
    c = Conv(image, w)
    r = Relu(c)
    s = Sum(r, shift)
    m = GlobalAveragePool(s)
    f = Flatten(m)
    scores = MatMul(f, fc)
}"""
CAMPAIGN = """
name = "small"
model.path = "net.onnx"
preprocess.std = 255
dataset.images = "*.png"
[[mutations]]
operator = "store-int8"
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    proto, random = onnx.parser.parse_model(NODES), np.random.default_rng(2)
    for name, shape in (("w", (2, 1, 3, 3)), ("fc", (2, 4)), ("shift", (1, 2, 4, 4))):
        value = random.standard_normal(shape, np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    proto.graph.node[2].name = "join"
    onnx.save(proto, tmp_path / "net.onnx")
    for number in range(2):
        Image.fromarray(random.integers(0, 256, (6, 6), np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "small.toml").write_text(CAMPAIGN)
    return tmp_path / "net.onnx"


def first(*given: Any) -> Any:
    return given[-3][0]


def roots(*given: Any) -> Any:
    return ir.relax.op.sqrt(ir.relax.op.add(*given[-3]))


@pytest.mark.parametrize(
    ("wrong", "how"),
    [
        (first, r"its scores differ.* on 2 of 2 images.*operator Sum 'join' \(output 's'\), by \d"),
        (roots, r"its outputs are not all finite.*operator Sum 'join' .*, not finite where it should be"),
    ],
)
def test_an_operator_that_is_imported_wrongly_is_named(
    net: Path, monkeypatch: pytest.MonkeyPatch, wrong: Any, how: str
) -> None:
    monkeypatch.setattr(onnx_conversions, "_pairwise", wrong)
    with pytest.raises(mutatenn.BaselineError, match=how):
        mutatenn.run(net.parent / "small.toml", net.parent / "run")


@attrs.frozen(kw_only=True)
class Miscompiling(Llvm):
    def schedule(self, function: Any) -> Any:
        body = ir.ffi.structural_map(function.body, (ir.tirx.Max, lambda node: ir.tirx.Min(node.a, node.b)))
        return function.with_body(body)

    def schedule_identity(self) -> str:
        return ""


def found(net: Path, backend: Llvm, frontend: Any = None, change: Any = lambda module: module) -> str:
    frontend = frontend or Onnx()
    model = Onnx().load(net)
    toolchain = Toolchain(attrs.evolve(model, module=change(model.module)), backend, Profile())
    image = np.random.default_rng(0).random((1, 6, 6), np.float32)
    return locate.first_to_differ(ImportedModel(frontend, model), toolchain, image, 1e-4)


def test_a_kernel_that_is_compiled_wrongly_is_named(net: Path) -> None:
    said = found(net, Miscompiling())
    assert said.startswith(
        "the first to differ is kernel fused_conv2d_relu_add (from its unscheduled code), by "
    )


def test_a_kernel_that_a_pass_makes_wrong_is_named(net: Path) -> None:
    said = found(net, Llvm(), change=lambda module: ReluToSigmoid().apply(module, (0,)))
    assert said == (
        "the first to differ is kernel fused_conv2d_tir_sigmoid_add, though every operator by itself agrees"
    )


@attrs.frozen(kw_only=True)
class Unable(Onnx):
    def inner(self, model: Any, image: Any) -> Any:
        os._exit(1)


@attrs.frozen(kw_only=True)
class Lost(Llvm):
    def open(self) -> Any:
        raise OSError


def test_what_fails_while_it_looks_is_passed_over(net: Path) -> None:
    assert "kernel fused_conv2d_relu_add (from" in found(net, Miscompiling(), Unable())
    assert found(net, Lost(), Unable()) == ""


def test_nothing_is_said_where_nothing_differs(net: Path) -> None:
    assert found(net, Llvm()) == ""
