"""Networks in float16: what onnxruntime computes in float32 between two casts is computed so here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import ir
from mutatenn_frontends.onnx import Onnx

NORM = {name: np.linspace(0.5, 1.5, 3, dtype=np.float16) for name in ("scale", "bias", "mean", "var")}


@pytest.mark.parametrize(
    "layer",
    [
        "BatchNormalization (image, scale, bias, mean, var)",
        "LRN <size = 3, alpha = 0.1, beta = 0.75, bias = 1.5> (image)",
    ],
    ids=["batch norm", "lrn"],
)
def test_a_layer(load: Any, build: Any, layer: str) -> None:
    body = f"n = {layer} scores = Flatten(n)"
    model = load(build(body, "float16[1,3,8,8] image", "float16[1,M] scores", **NORM))
    image = np.random.default_rng(5).uniform(-1, 1, model.input.shape).astype(np.float16)
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    found = machine["main"](ir.tvm.runtime.tensor(image)).numpy()
    np.testing.assert_allclose(found, Onnx().reference(model, image), rtol=2e-3, atol=2e-3)
    assert np.ptp(found) > 0.5
