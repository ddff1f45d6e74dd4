"""Attributes and old forms of operators that TVM's importer passes over compute what onnxruntime computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import ir
from mutatenn_frontends.onnx import Onnx

K, LOW, HIGH, ZERO = np.array([5]), np.float32(0.7), np.float32(0.4), np.float32(0)


def agree(model: Any) -> None:
    image = np.random.default_rng(5).uniform(-1, 1, model.input.shape).astype(np.float32)
    image[:, :, 0, 0] = 0
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    found = machine["main"](ir.tvm.runtime.tensor(image)).numpy()
    np.testing.assert_allclose(found, Onnx().reference(model, image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("opset", "body"),
    [
        (9, "scores, i = TopK <axis = 1, k = 5> (f)"),
        (10, "scores, i = TopK <axis = 1> (f, k)"),
        (11, "scores, i = TopK <axis = 1, largest = 0> (f, k)"),
        (13, "scores = Clip(f, low, high)"),
        (13, "scores = Clip(f, high, low)"),
        (13, "scores = Div(f, zero)"),
        (13, "scores = Div(f, low)"),
    ],
)
def test_an_operator(load: Any, build: Any, opset: int, body: str) -> None:
    text = f"f = Flatten(image) {body}"
    agree(load(build(text, scores="float[1,M] scores", opset=opset, k=K, low=LOW, high=HIGH, zero=ZERO)))


@pytest.mark.parametrize(("negative", "positive"), [(1, 1), (0, 1), (1, 0), (0, 0)])
def test_infinity_of_one_sign(load: Any, build: Any, negative: int, positive: int) -> None:
    flags = f"detect_negative = {negative}, detect_positive = {positive}"
    body = f"f = Flatten(image) d = Div(f, zero) b = IsInf <{flags}> (d) scores = Where(b, low, f)"
    agree(load(build(body, scores="float[1,M] scores", opset=13, zero=ZERO, low=LOW)))


@pytest.mark.parametrize("pad", ["", 'auto_pad = "SAME_UPPER", ', 'auto_pad = "SAME_LOWER", '])
@pytest.mark.parametrize("shape", ["14, 14", "15, 16", "16, 17"])
def test_the_shape_of_a_transposed_convolution(load: Any, build: Any, pad: str, shape: str) -> None:
    kernel = np.random.default_rng(1).uniform(-1, 1, (3, 2, 3, 3)).astype(np.float32)
    body = (
        f"c = ConvTranspose <{pad}strides = [2, 2], output_shape = [{shape}]> (image, v) scores = Flatten(c)"
    )
    agree(load(build(body, scores="float[1,M] scores", v=kernel)))
