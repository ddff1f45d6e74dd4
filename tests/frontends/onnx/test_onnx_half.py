"""Networks in float16: what onnxruntime computes in float32 between two casts is computed so here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from mutatenn import ir
from mutatenn.cli.main import main
from mutatenn_frontends.onnx import Onnx

CAMPAIGN = """
name = "half"
model.path = "net.onnx"
preprocess.std = 255
dataset.images = "*.png"
gate.tolerance = {tolerance}
[[mutations]]
operator = "store-int8"
sites = [0]
"""
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


@pytest.mark.parametrize("tolerance", [1e-7, 0.01])
def test_a_red_gate_advises(write: Any, build: Any, capsys: Any, tolerance: float) -> None:
    body = """
        h = Cast <to = 10> (image) c = Conv(h, half) x = GlobalAveragePool(c) flat = Flatten(x)
        s = MatMul(flat, head) scores = Cast <to = 1> (s)
    """
    random = np.random.default_rng(3)
    half, head = (random.standard_normal(shape).astype(np.float16) for shape in ((4, 3, 3, 3), (4, 5)))
    code = gated(write(build(body, half=half, head=head)), tolerance)
    told = capsys.readouterr().err
    red = tolerance < 0.001
    assert (code == 3) == red
    assert ("it computes in float16, whose steps are 0.001 of a value" in told) == red
    assert ("set gate.tolerance = 0.01" in told) == red


def gated(path: Any, tolerance: float) -> int:
    """Run a campaign of a network on images of noise; return the exit code."""
    random = np.random.default_rng(4)
    for number in range(4):
        pixels = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path.with_name(f"{number}.png"))
    campaign = path.with_name("half.toml")
    campaign.write_text(CAMPAIGN.format(tolerance=tolerance))
    return main(["run", str(campaign), "--out", str(path.with_name("run")), "--workers", "1"])


@pytest.mark.parametrize("quantised", [True, False])
def test_a_red_gate_advises_of_steps_of_8_bits(write: Any, build: Any, capsys: Any, quantised: bool) -> None:
    steps = """
        q = QuantizeLinear(c, scale, zero) d = DequantizeLinear(q, scale, zero) x = GlobalAveragePool(d)
    """
    body = f"""
        c = Conv(image, weight) {steps if quantised else "x = GlobalAveragePool(c)"}
        flat = Flatten(x) scores = MatMul(flat, head)
    """
    random = np.random.default_rng(3)
    weight, head = (random.standard_normal(shape).astype(np.float32) for shape in ((4, 3, 3, 3), (4, 5)))
    given = {"scale": np.float32(0.05), "zero": np.int8(3)} if quantised else {}
    assert gated(write(build(body, weight=weight, head=head, **given)), 0) == 3
    told = capsys.readouterr().err
    assert ("it rounds to steps" in told) is quantised
    assert ("set gate.tolerance = 0.03" in told) is quantised
