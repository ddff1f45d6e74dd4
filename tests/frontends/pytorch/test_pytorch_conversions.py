"""Operators that TVM's importer has not, or makes something else of, compute what PyTorch computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import Model, ir
from mutatenn_frontends.pytorch import PyTorch

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
functional = torch.nn.functional

SIZE = (7, 9)
IMAGES = np.random.default_rng(7).uniform(-1, 1, (2, 3, *SIZE)).astype(np.float32)
WHOLE, SCALED = {"scale_factor": 2}, {"scale_factor": (1.5, 0.6)}
LARGER, SMALLER = {"size": (11, 20)}, {"size": (4, 8)}
ALIGNED, SMOOTH = {"align_corners": True}, {"antialias": True}
RESAMPLED: list[dict[str, Any]] = [
    *({"mode": "nearest", **to} for to in (WHOLE, SCALED, LARGER, SMALLER)),
    *({"mode": "bilinear", **to} for to in (WHOLE, SCALED, LARGER)),
    {"mode": "bilinear", **SCALED, "recompute_scale_factor": True},
    *({"mode": "bilinear", **SMOOTH, **to} for to in (WHOLE, SCALED, SMALLER)),
    *({"mode": "bilinear", **SMOOTH, **ALIGNED, **to} for to in (WHOLE, SMALLER)),
    *({"mode": "bicubic", **to} for to in (SCALED, LARGER)),
    *({"mode": "bicubic", **SMOOTH, **to} for to in (SCALED, SMALLER)),
]
POOLED: list[tuple[Any, ...]] = [
    ((2, 3), 2, 1, ceil, counted, divisor)
    for ceil in (False, True)
    for counted, divisor in ((False, None), (True, None), (False, 1), (True, 5))
]


SCALED_ARITHMETIC = {
    "add": lambda image: torch.add(image, image.flip(3), alpha=2),
    "sub": lambda image: torch.sub(image, image.flip(3), alpha=2),
    "rsub": lambda image: torch.rsub(image, 1.0, alpha=3),
    "selu": functional.selu,
    "celu": lambda image: functional.celu(image, 0.3),
    "elu": lambda image: functional.elu(image, 0.3),
}


class Net(torch.nn.Module):  # type: ignore[name-defined,misc]
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Any) -> Any:
        return self.function(image).flatten(1)


def load(function: Any, folder: Path) -> Model:
    path = folder / "net.pt2"
    torch.export.save(torch.export.export(Net(function).eval(), (torch.zeros(1, 3, *SIZE),)), path)
    return PyTorch().load(path)


def check(model: Model) -> None:
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    found = [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in IMAGES]
    expected = PyTorch().reference(model, IMAGES)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", RESAMPLED, ids=lambda each: " ".join(map(str, each.values())))
def test_resampling(tmp_path: Path, options: dict[str, Any]) -> None:
    check(load(lambda image: functional.interpolate(image, **options), tmp_path))


@pytest.mark.parametrize("options", POOLED, ids=str)
def test_average_pooling(tmp_path: Path, options: tuple[Any, ...]) -> None:
    check(load(lambda image: functional.avg_pool2d(image, *options), tmp_path))


@pytest.mark.parametrize("name", SCALED_ARITHMETIC)
def test_factors_of_arithmetic(tmp_path: Path, name: str) -> None:
    check(load(SCALED_ARITHMETIC[name], tmp_path))


def test_what_is_right_as_it_is_stays(tmp_path: Path) -> None:
    """Ordinary networks keep their kernels."""
    model = load(lambda image: functional.interpolate(image, scale_factor=2), tmp_path)
    assert "image.resize2d" in model.module.script()
    model = load(lambda image: functional.interpolate(image, size=(11, 20), mode="bilinear"), tmp_path)
    assert "image.resize2d" in model.module.script()
